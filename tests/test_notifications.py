"""A webhook that hears of alarms over real HTTP: once, in its form, and without harm to anything when it does not."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from expositions import series
from fleets import CREDENTIALS, Fleet, fleet_of, imeis
from render_worlds import FOTA, REFUSAL, run_report
from services import scheduled, serving
from structlog.testing import capture_logs

from licensesync.daemon import notifications
from licensesync.daemon.metrics import Metrics
from licensesync.daemon.notifications import Notifier
from licensesync.daemon.orders import Orders
from licensesync.ledger import database
from licensesync.model import Capacity, Plan, PoolReport, Report

SECRET = "hook-path-31f7"
TOKEN = "webhook-token-31f7"
FINE = Plan(FOTA, Capacity(10, 10))
REFUSED = replace(FINE, refusal=REFUSAL)


@dataclass
class Receiver:
    """What a webhook has heard, and how it answers: with these codes first, then with 200."""

    url: str = ""
    heard: list[Any] = field(default_factory=list)
    headers: list[Any] = field(default_factory=list)
    codes: list[int] = field(default_factory=list)
    grown: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def answer(self, request: web.Request) -> web.Response:
        async with self.grown:
            self.heard.append(await request.json())
            self.headers.append(request.headers)
            self.grown.notify_all()
        return web.Response(status=self.codes.pop(0) if self.codes else 200, headers={"Location": "/elsewhere"})

    async def has(self, count: int) -> list[Any]:
        async with self.grown:
            await asyncio.wait_for(self.grown.wait_for(lambda: len(self.heard) >= count), 20)
        return self.heard


@asynccontextmanager
async def receiving(*codes: int) -> AsyncIterator[Receiver]:
    receiver = Receiver(codes=list(codes))
    app = web.Application()
    app.router.add_post(f"/{SECRET}", receiver.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    receiver.url = f"http://127.0.0.1:{port}/{SECRET}"
    try:
        yield receiver
    finally:
        await runner.cleanup()


async def notifier_of(fleet: Fleet, more: str, **environ: str) -> tuple[Notifier, Metrics]:
    """One that goes by the fleet's settings and these lines of `notifications:`."""
    scheduled(fleet, f"notifications: {{{more}}}")
    fleet.inventory(imeis(0, 3))
    ledger = fleet.folder / "licensesync.db"
    database.prove(ledger)
    given = {**CREDENTIALS, **environ}
    orders, metrics = Orders(fleet.folder / "licensesync.yaml", given), Metrics()
    await orders.first()
    return Notifier(ledger, given, orders, metrics), metrics


def report(plan: Plan) -> Report:
    return replace(run_report(PoolReport(plan)), finished_at=datetime.now(UTC))


async def test_a_message_is_a_document_and_its_address_may_be_a_secret(tmp_path: Path) -> None:
    async with fleet_of(tmp_path) as fleet, receiving() as receiver:
        secrets = {"WEBHOOK_URL": receiver.url, "WEBHOOK_TOKEN": TOKEN}
        notifier, metrics = await notifier_of(fleet, "format: json", **secrets)
        with capture_logs() as logs:
            async with notifier.telling():
                notifier.run_ended(report(REFUSED))
                await receiver.has(1)
                notifier.run_ended(report(REFUSED))
                notifier.run_ended(report(FINE))
                heard = await receiver.has(2)
    since = heard[0].pop("since")
    assert datetime.fromisoformat(since).tzinfo
    assert heard[0] == {
        "version": 1,
        "kind": "notification",
        "alarm": "refused",
        "stage": "raised",
        "pool": "fota",
        "text": "400 removals refused, rule percent allows 99; approve it in the inventory",
        "run": "01K3",
        "commit": None,
        "author": None,
    }
    assert (heard[1]["stage"], heard[1]["text"], len(heard)) == ("recovered", "no removals are refused any more", 2)
    assert receiver.headers[0]["Authorization"] == f"Bearer {TOKEN}"
    assert [(log["event"], log["stage"], log["host"]) for log in logs] == [
        ("notification.sent", "raised", "127.0.0.1"),
        ("notification.sent", "recovered", "127.0.0.1"),
    ]
    assert SECRET not in str(logs)
    assert series(metrics)['notifications_total{result="sent"}'] == 2


async def test_slack_gets_a_line_in_which_nothing_steers_it(tmp_path: Path) -> None:
    refused = replace(REFUSED, refusal=replace(REFUSAL, next_step="<!channel> & \x1b[31mred\nend"))
    async with fleet_of(tmp_path) as fleet, receiving() as receiver:
        notifier, _ = await notifier_of(fleet, f"webhook: '{receiver.url}', format: slack")
        async with notifier.telling():
            notifier.run_ended(report(refused))
            heard = await receiver.has(1)
    words = "licensesync fota: 400 removals refused, rule percent allows 99; &lt;!channel&gt; &amp; [31mred end"
    assert heard == [{"text": f":warning: {words}"}]
    assert "Authorization" not in receiver.headers[0]


async def test_a_webhook_that_does_not_take_it_is_asked_again_later_even_after_a_restart(tmp_path: Path) -> None:
    async with fleet_of(tmp_path) as fleet, receiving(500, 302) as receiver:
        secrets, counted = {"WEBHOOK_URL": receiver.url, "WEBHOOK_TOKEN": TOKEN}, list[Metrics]()
        with capture_logs() as logs:
            for _ in range(3):
                notifier, metrics = await notifier_of(fleet, "format: json", **secrets)
                counted.append(metrics)
                async with notifier.telling():
                    notifier.looked()
                    if not receiver.heard:
                        notifier.run_ended(report(REFUSED))
                    heard = len(receiver.heard)
                    await receiver.has(heard + 1)
                    await asyncio.sleep(0.05)
                    notifier.run_ended(report(REFUSED))
                    await asyncio.sleep(0.05)
                    assert len(receiver.heard) == heard + 1, "it is left alone for a while"
                settings = tmp_path / "licensesync.yaml"
                settings.write_text(settings.read_text().partition("schedule:")[0])
    assert [each["stage"] for each in receiver.heard] == ["raised"] * 3
    assert [log["event"].partition(".")[2] for log in logs] == ["failed", "failed", "sent"]
    assert logs[0]["problem"].startswith("127.0.0.1 answered 500; ")
    assert logs[1]["problem"].startswith("127.0.0.1 answered 302; "), "it is followed nowhere"
    assert logs[0]["next_attempt"] > datetime.now(UTC)
    assert {series(each)['notifications_total{result="failed"}'] for each in counted} == {0, 1}
    assert not any(secret in str(logs) for secret in (SECRET, TOKEN))


@pytest.mark.parametrize(
    ("environ", "problem"),
    [
        ({}, "there is no webhook; write notifications.webhook, or give WEBHOOK_URL"),
        ({"WEBHOOK_URL": f"http://hooks.example.com/{SECRET}"}, "WEBHOOK_URL is no https address; "),
        ({"WEBHOOK_URL": f"ftp://hooks.example.com/{SECRET}"}, "WEBHOOK_URL is no https address; "),
        ({"WEBHOOK_URL": f"http://127.0.0.1:1/{SECRET}"}, "127.0.0.1 cannot be reached: ClientConnector"),
        ({"WEBHOOK_URL": f"http://[x/{SECRET}"}, "WEBHOOK_URL is no https address; "),
        ({"WEBHOOK_URL_FILE": "/nowhere"}, "WEBHOOK_URL"),
    ],
)
async def test_an_address_that_is_none_is_told_without_itself(
    tmp_path: Path, environ: dict[str, str], problem: str
) -> None:
    async with fleet_of(tmp_path) as fleet:
        notifier, _ = await notifier_of(fleet, "format: json", **environ)
        with capture_logs() as logs:
            async with notifier.telling():
                notifier.run_ended(report(REFUSED))
    assert [log["event"] for log in logs] == ["notification.failed"]
    assert problem in logs[0]["problem"]
    assert SECRET not in str(logs)


async def test_the_service_tells_of_a_refusal_once_also_across_a_restart_and_when_it_is_over(tmp_path: Path) -> None:
    async with fleet_of(tmp_path, devices=30) as fleet, receiving() as receiver:
        scheduled(fleet, f"notifications: {{webhook: '{receiver.url}'}}", every="1s")
        fleet.inventory(imeis(20, 30))
        async with serving(fleet) as service:
            await service.told("notification.sent")
            await service.told("run.finished", 3)
        async with serving(fleet) as service:
            await service.told("run.finished", 2)
            refused = service.of("pool.refused")[0]
            fleet.inventory(["x"])
            await service.told("notification.sent", alarm="inventory-rejected", stage="raised")
            fleet.inventory(imeis(0, 30))
            await service.told("notification.sent", alarm="refused", stage="recovered")
            await service.told("notification.sent", alarm="inventory-rejected", stage="recovered")
            service.signal(signal.SIGTERM)
            assert await service.ended() == 0
    assert [(each["alarm"], each["stage"]) for each in receiver.heard[:2]] == [
        ("refused", "raised"),
        ("inventory-rejected", "raised"),
    ]
    assert sorted((each["alarm"], each["stage"]) for each in receiver.heard[2:]) == [
        ("inventory-rejected", "recovered"),
        ("refused", "recovered"),
    ]
    assert receiver.heard[0]["text"].startswith("20 removals refused, rule percent allows ")
    assert refused
    assert SECRET not in json.dumps(service.events)


async def test_a_webhook_that_hangs_keeps_nobody_waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hangs = asyncio.Event()

    async def hang(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await hangs.wait()
        writer.close()

    server = await asyncio.start_server(hang, "127.0.0.1", 0)
    address = server.sockets[0].getsockname()
    async with fleet_of(tmp_path, devices=30) as fleet:
        scheduled(fleet, f"notifications: {{webhook: 'http://127.0.0.1:{address[1]}/{SECRET}'}}", every="1s")
        fleet.inventory(imeis(20, 30))
        async with serving(fleet) as service:
            await service.told("run.finished", 3)
            begin = asyncio.get_running_loop().time()
            service.signal(signal.SIGTERM)
            assert await service.ended() == 0
            assert asyncio.get_running_loop().time() - begin < notifications.AT_THE_END + 5
    hangs.set()
    server.close()
    await server.wait_closed()
