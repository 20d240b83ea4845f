"""Reads a pool with Verizon's own SDK, which the extra `witness` installs: sdk.py URL TIMES."""

import json
import sys
import time
from typing import Any

from verizon.configuration import Configuration, Environment
from verizon.http.auth.thingspace_oauth import ThingspaceOauthCredentials
from verizon.http.auth.vz_m2m_token import VZM2mTokenCredentials
from verizon.models.log_in_request import LogInRequest
from verizon.verizon_client import VerizonClient

ACCOUNT = "0642233522-00001"


def main(url: str, times: int) -> list[dict[str, float]]:
    servers = Configuration.environments[Environment.PRODUCTION]
    for server, base in servers.items():
        servers[server] = base.replace("https://thingspace.verizon.com", url)
    oauth = ThingspaceOauthCredentials("key", "secret")
    login = LogInRequest(username="user", password="password")
    outside = VerizonClient(thingspace_oauth_credentials=oauth)
    session = outside.session_management.start_connectivity_management_session(login).body.session_token
    inside = VerizonClient(thingspace_oauth_credentials=oauth, vz_m2m_token_credentials=VZM2mTokenCredentials(session))
    licenses = inside.software_management_licenses_v3
    licenses.get_account_licenses_status(ACCOUNT, "0")
    return [_reading(licenses) for _ in range(times)]


def _reading(licenses: Any) -> dict[str, float]:
    began, busy = time.perf_counter(), time.process_time()
    held: set[str] = set()
    cursor, more, assigned = None, True, 0
    while more:
        page = licenses.get_account_licenses_status(ACCOUNT, cursor).body
        held.update(row.device_id for row in page.device_list)
        cursor, more = getattr(page, "last_seen_device_id", None), page.has_more_data
        assigned = page.assigned_licenses
    assert len(held) == assigned
    return {"seconds": time.perf_counter() - began, "cpu": time.process_time() - busy}


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], int(sys.argv[2]))))
