"""A webhook that hears of alarms over real HTTP: once, in its form, and without harm to anything when it does not."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from expositions import series
from fleets import CREDENTIALS, Fleet, fleet_of, imeis
from render_worlds import FOTA, REFUSAL, assign, run_report
from services import scheduled, serving
from structlog.testing import capture_logs

from licensesync.composition import Pass
from licensesync.daemon import notifications
from licensesync.daemon.backoff import Pace
from licensesync.daemon.metrics import Metrics
from licensesync.daemon.notifications import PACE, Notifier
from licensesync.daemon.orders import Found, Orders
from licensesync.ledger import database
from licensesync.model import Capacity, Held, HeldReason, Plan, PoolReport, Report

SECRET = "hook-path-31f7"
TOKEN = "webhook-token-31f7"
FINE = Plan(FOTA, Capacity(10, 10))
REFUSED = replace(FINE, refusal=REFUSAL)
SHORT_TOO = replace(REFUSED, held=(Held(assign(1), HeldReason.NO_CAPACITY),))
SOON = Pace(timedelta(milliseconds=100), timedelta(milliseconds=100))


@dataclass
class Receiver:
    """What a webhook has heard, and how it answers: with these codes first, then with 200; `unfit` alarms with 400."""

    url: str = ""
    heard: list[Any] = field(default_factory=list)
    headers: list[Any] = field(default_factory=list)
    codes: list[int] = field(default_factory=list)
    unfit: str = ""
    grown: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def answer(self, request: web.Request) -> web.Response:
        async with self.grown:
            self.heard.append(await request.json())
            self.headers.append(request.headers)
            self.grown.notify_all()
        otherwise = 400 if self.heard[-1].get("alarm") == self.unfit else 200
        headers = {"Location": "/elsewhere", "Retry-After": "600"}
        return web.Response(status=self.codes.pop(0) if self.codes else otherwise, headers=headers)

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


class Seen(Orders):
    """Orders that count how often somebody has looked at them."""

    looks = 0

    @property
    def in_force(self) -> Pass:
        self.looks += 1
        return super().in_force


async def notifier_of(fleet: Fleet, more: str, **environ: str) -> tuple[Notifier, Metrics]:
    """One that goes by the fleet's settings and these lines of `notifications:`."""
    metrics = Metrics()
    return notifier_by(fleet, await orders_of(fleet, more, **environ), metrics, PACE, **environ), metrics


def notifier_by(fleet: Fleet, orders: Orders, metrics: Metrics, pace: Pace = PACE, **environ: str) -> Notifier:
    ledger = fleet.folder / "licensesync.db"
    database.prove(ledger)
    return Notifier(ledger, {**CREDENTIALS, **environ}, orders, metrics, pace)


async def orders_of(fleet: Fleet, more: str, **environ: str) -> Seen:
    write(fleet, more)
    orders = Seen(fleet.folder / "licensesync.yaml", {**CREDENTIALS, **environ})
    await orders.first()
    return orders


def write(fleet: Fleet, more: str) -> None:
    """Settings with these notifications, and an inventory; both long ago, so that nobody waits until they rest."""
    fleet.settings()
    scheduled(fleet, f"notifications: {{{more}}}")
    fleet.inventory(imeis(0, 3))
    for name in ("licensesync.yaml", "inventory.yaml"):
        os.utime(fleet.folder / name, (1e9, 1e9 + len(more)))


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
    refused = replace(REFUSED, refusal=replace(REFUSAL, next_step="<!channel> & \x1b[31mred\n@all [end](//x)"))
    async with fleet_of(tmp_path) as fleet, receiving() as receiver:
        notifier, _ = await notifier_of(fleet, f"webhook: '{receiver.url}', format: slack")
        async with notifier.telling():
            notifier.run_ended(report(refused))
            heard = await receiver.has(1)
    steering = "&lt;!channel&gt; &amp; [31mred @\u200ball [end]\u200b(//x)"
    words = f"licensesync fota: 400 removals refused, rule percent allows 99; {steering}"
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
    assert [each["stage"] for each in receiver.heard] == ["raised"] * 3
    assert [log["event"].partition(".")[2] for log in logs] == ["failed", "failed", "sent"]
    assert logs[0]["problem"].startswith("127.0.0.1 answered 500; ")
    assert logs[1]["problem"].startswith("127.0.0.1 answered 302; "), "it is followed nowhere"
    assert logs[0]["next_attempt"] > datetime.now(UTC)
    assert [series(each)['notifications_total{result="failed"}'] for each in counted] == [1, 1, 0]
    assert not any(secret in str(logs) for secret in (SECRET, TOKEN))


async def test_a_message_that_failed_and_is_no_longer_needed_leaves_the_service_at_rest(tmp_path: Path) -> None:
    async with fleet_of(tmp_path) as fleet, receiving(500) as receiver:
        orders, metrics = await orders_of(fleet, f"webhook: '{receiver.url}'"), Metrics()
        notifier = notifier_by(fleet, orders, metrics, SOON)
        async with notifier.telling():
            notifier.run_ended(report(REFUSED))
            await receiver.has(1)
            notifier.run_ended(report(FINE))
            before = orders.looks
            await asyncio.sleep(4 * SOON.latest.total_seconds())
            assert orders.looks - before < 20, "nothing is due, and nobody looks all the time whether it is"
            notifier.run_ended(report(REFUSED))
            await receiver.has(2)
    assert [each["stage"] for each in receiver.heard] == ["raised", "raised"]


async def test_a_webhook_that_was_mended_in_the_settings_is_told_at_once(tmp_path: Path) -> None:
    async with fleet_of(tmp_path) as fleet, receiving() as receiver:
        orders = await orders_of(fleet, f"webhook: 'http://127.0.0.1:1/{SECRET}'")
        notifier = notifier_by(fleet, orders, Metrics())
        with capture_logs() as logs:
            async with notifier.telling():
                notifier.looked()
                notifier.run_ended(report(REFUSED))
                while not logs:
                    await asyncio.sleep(0.01)
                write(fleet, f"webhook: '{receiver.url}', repeat: 2d")
                assert await orders.look() is Found.LOADED
                notifier.looked()
                await receiver.has(1)
    assert [log["event"] for log in logs] == ["notification.failed", "notification.sent"]


async def test_a_webhook_that_is_busy_is_left_alone_for_as_long_as_it_asks_but_no_other_is(tmp_path: Path) -> None:
    async with fleet_of(tmp_path) as fleet, receiving(429) as receiver:
        orders = await orders_of(fleet, f"webhook: '{receiver.url}'")
        notifier = notifier_by(fleet, orders, Metrics(), SOON)
        with capture_logs() as logs:
            async with notifier.telling():
                notifier.looked()
                notifier.run_ended(report(REFUSED))
                while not logs:
                    await asyncio.sleep(0.01)
                wait = logs[0]["next_attempt"] - datetime.now(UTC)
                write(fleet, f"webhook: '{receiver.url}', repeat: 2d")
                assert await orders.look() is Found.LOADED
                notifier.looked()
                await receiver.has(2)
    assert timedelta(seconds=590) < wait <= timedelta(seconds=600)
    assert logs[0]["problem"] == "127.0.0.1 answered 429: it is too busy, and is asked again later"


async def test_a_message_that_the_webhook_does_not_take_keeps_no_other_waiting(tmp_path: Path) -> None:
    async with fleet_of(tmp_path) as fleet, receiving() as receiver:
        receiver.unfit = "refused"
        notifier, _ = await notifier_of(fleet, f"webhook: '{receiver.url}'")
        with capture_logs() as logs:
            async with notifier.telling():
                notifier.run_ended(report(SHORT_TOO))
                await receiver.has(2)
                notifier.run_ended(report(REFUSED))
                await receiver.has(3)
    assert [(each["alarm"], each["stage"]) for each in receiver.heard] == [
        ("refused", "raised"),
        ("short", "raised"),
        ("short", "recovered"),
    ]
    assert logs[0]["problem"].startswith("127.0.0.1 answered 400, it does not take this message; see whether json is ")


async def test_a_mistake_costs_a_message_and_never_the_service(tmp_path: Path) -> None:
    class Mistaken(Metrics):
        def notified(self, *, sent: bool) -> None:
            raise RuntimeError(sent)

    async with fleet_of(tmp_path) as fleet, receiving() as receiver:
        orders = await orders_of(fleet, f"webhook: '{receiver.url}'")
        with capture_logs() as logs:
            notifier = notifier_by(fleet, orders, Mistaken())
            async with notifier.telling():
                notifier.run_ended(report(REFUSED))
                await receiver.has(1)
                notifier.run_ended(report(SHORT_TOO))
                before = orders.looks
                await asyncio.sleep(0.2)
                assert orders.looks - before < 20
    assert [(log["event"], log["problem"]) for log in logs] == [("notification.mistake", "RuntimeError: True")]
    assert len(receiver.heard) == 1, "it is left alone for a while"


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


async def test_a_webhook_that_hangs_keeps_nobody_waiting(tmp_path: Path) -> None:
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
