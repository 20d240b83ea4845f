"""Reads a pool as anybody would write it, with aiohttp: a page, its cursor, the next page: plain.py URL TIMES."""

import asyncio
import json
import sys
import time
from collections.abc import Mapping

import aiohttp

STATUS = "/api/fota/v3/licenses/0642233522-00001/index/"


async def main(url: str, times: int) -> list[dict[str, float]]:
    async with aiohttp.ClientSession(url) as session:
        tokens = await _tokens(session)
        return [await _reading(session, tokens) for _ in range(times)]


async def _tokens(session: aiohttp.ClientSession) -> Mapping[str, str]:
    basic = {"Authorization": "Basic a2V5OnNlY3JldA=="}
    form = {"grant_type": "client_credentials"}
    async with session.post("/api/ts/v1/oauth2/token", data=form, headers=basic) as answer:
        bearer = {"Authorization": f"Bearer {(await answer.json())['access_token']}"}
    login = {"username": "user", "password": "password"}
    async with session.post("/api/m2m/v1/session/login", json=login, headers=bearer) as answer:
        return {**bearer, "VZ-M2M-Token": (await answer.json())["sessionToken"]}


async def _reading(session: aiohttp.ClientSession, tokens: Mapping[str, str]) -> dict[str, float]:
    began, busy = time.perf_counter(), time.process_time()
    held: set[str] = set()
    cursor, more, assigned = "0", True, 0
    while more:
        async with session.get(f"{STATUS}{cursor}", headers=tokens) as answer:
            page = await answer.json()
        held.update(row["deviceId"] for row in page["deviceList"])
        cursor, more, assigned = page.get("lastSeenDeviceId"), page["hasMoreData"], page["assignedLicenses"]
    assert len(held) == assigned
    return {"seconds": time.perf_counter() - began, "cpu": time.process_time() - busy}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(sys.argv[1], int(sys.argv[2])))))
