"""What a service leaves behind and shows while all goes wrong: no credential is in any of it."""

from __future__ import annotations

import signal
from base64 import b64encode
from pathlib import Path

from fleets import CREDENTIALS, fleet_of, imeis
from services import manager, scheduled, serving

WEBHOOK = {"WEBHOOK_URL": "http://127.0.0.1:9/hook-7f3e", "WEBHOOK_TOKEN": "token-2b8d"}
BASIC = b64encode(f"{CREDENTIALS['THINGSPACE_KEY']}:{CREDENTIALS['THINGSPACE_SECRET']}".encode()).decode()
SECRETS = [*CREDENTIALS.values(), "hook-7f3e", WEBHOOK["WEBHOOK_TOKEN"], BASIC]


async def test_pages_log_ledger_and_arguments_of_a_service_in_trouble_hold_no_credential(tmp_path: Path) -> None:
    quirks = {"error-500": "2x", "error-500-after-effect": "1x", "service-shape": "html"}
    async with fleet_of(tmp_path, devices=30, quirks=quirks) as fleet, manager(tmp_path) as systemd:
        scheduled(fleet, "notifications: {}")
        fleet.inventory(imeis(25, 40))
        async with serving(fleet, {**systemd.environ, **WEBHOOK}) as service:
            await service.told("run.finished")
            await service.told("notification.failed")
            pages = [await service.seen(page) for page in ("/healthz", "/readyz", "/metrics", "/status.json", "/x")]
            arguments = Path(f"/proc/{service.process.pid}/cmdline").read_bytes()
            service.signal(signal.SIGHUP)
            await service.told("inventory.loaded", 2)
            kept = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    assert {"licensesync.db", "licensesync.db.lock", "licensesync.db.serve.lock"} <= kept.keys()
    told = f"{pages}{service.events}{systemd.heard}{arguments!r}"
    assert "refused" in told
    assert not [
        secret for secret in SECRETS if secret in told or any(secret.encode() in each for each in kept.values())
    ]
