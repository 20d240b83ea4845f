"""Reads a pool and assigns licenses as anybody would write it, with aiohttp.

`plain.py read URL TIMES`: a page, its cursor, the next page; `plain.py assign URL DEVICES BATCH AT_ONCE`.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Mapping

import aiohttp

from licensesync.simulator.imeis import imei_of

STATUS = "/api/fota/v3/licenses/0642233522-00001/index/"
ASSIGN = "/api/fota/v3/licenses/0642233522-00001/assign"
UNLICENSED = 36_000_000_000_000


async def read(url: str, times: int) -> list[dict[str, float]]:
    async with aiohttp.ClientSession(url) as session:
        tokens = await _tokens(session)
        return [await _reading(session, tokens) for _ in range(times)]


async def assign(url: str, devices: int, batch: int, at_once: int) -> list[dict[str, float]]:
    imeis = [imei_of(UNLICENSED + number) for number in range(devices)]
    waiting = iter([imeis[start : start + batch] for start in range(0, devices, batch)])
    async with aiohttp.ClientSession(url) as session:
        tokens = await _tokens(session)

        async def send() -> None:
            for each in waiting:
                async with session.post(ASSIGN, json={"deviceList": each}, headers=tokens) as answer:
                    assert len((await answer.json())["deviceList"]) == len(each)

        began, busy = time.perf_counter(), time.process_time()
        async with asyncio.TaskGroup() as workers:
            for _ in range(at_once):
                workers.create_task(send())
        return [{"seconds": time.perf_counter() - began, "cpu": time.process_time() - busy}]


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
    verb, url, *numbers = sys.argv[1:]
    told = assign(url, *map(int, numbers)) if verb == "assign" else read(url, *map(int, numbers))
    print(json.dumps(asyncio.run(told)))
