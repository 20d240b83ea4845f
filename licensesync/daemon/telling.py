"""What a run of the service tells: the log as ever, the metrics, the pulse, and how far it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from licensesync.callbacks.desk import Received, Reception
from licensesync.callbacks.listener import Rejected
from licensesync.callbacks.telling import CallbackJournal
from licensesync.daemon.course import DOING, Course
from licensesync.daemon.metrics import Metrics
from licensesync.daemon.systemd import Pulse
from licensesync.journal import RunJournal
from licensesync.ledger.promises import Promise
from licensesync.model import Outcome, Plan, Pool, PoolReport, Unread, Verb
from licensesync.settings import DeviceLines


class Sight:
    """Shows how far a run is, and that it goes on."""

    def __init__(self, course: Course, pulse: Pulse, show: Callable[[], None]) -> None:
        self._course = course
        self._pulse = pulse
        self._show = show

    def reading(self, pool: str, seen: int, expected: int | None) -> None:
        self._does(pool, f"reading {seen}{f' of {expected}' if expected else ''}")

    def sending(self, pool: str, verb: Verb, settled: int, of: int) -> None:
        self._does(pool, f"{DOING[verb]} {settled} of {of}")

    def _does(self, pool: str, doing: str) -> None:
        self._course.doing[pool] = doing
        self._pulse.beat()
        self._show()


class ServiceJournal(RunJournal):
    """Tells a run as log events and as metrics."""

    def __init__(self, sight: Sight, metrics: Metrics, *, run: str, devices: DeviceLines) -> None:
        super().__init__(sight, run=run, devices=devices)
        self._metrics = metrics

    def planned(self, plan: Plan | Unread) -> None:
        super().planned(plan)
        self._metrics.planned(plan)

    def settled(self, pool: Pool, outcomes: Sequence[Outcome]) -> None:
        super().settled(pool, outcomes)
        self._metrics.settled(pool, outcomes)

    def reconciled(self, report: PoolReport) -> None:
        super().reconciled(report)
        self._metrics.reconciled(report)


class BeatingMeter:
    """Counts the requests, and takes each that comes to its end for a sign of life."""

    def __init__(self, metrics: Metrics, pulse: Pulse) -> None:
        self._metrics = metrics
        self._pulse = pulse

    def answered(self, what: str, result: str, seconds: float) -> None:
        self._pulse.beat()
        self._metrics.answered(what, result, seconds)

    def waits(self, what: str, seconds: float) -> None:
        self._pulse.beat()
        self._metrics.waits(what, seconds)


class ServiceCallbackJournal(CallbackJournal):
    """Tells of callbacks as log events and as metrics."""

    def __init__(self, metrics: Metrics) -> None:
        super().__init__()
        self._metrics = metrics

    def received(self, received: Received) -> None:
        super().received(received)
        if received.reception is not Reception.FOREIGN:
            self._metrics.callback(received.reception)
        if received.promise and received.reception is Reception.SETTLED:
            self._metrics.promise_ended(received.promise.pool, received.promise.outcome)

    def rejected(self, why: Rejected) -> None:
        super().rejected(why)
        self._metrics.callback(why)

    def overdue(self, promise: Promise) -> None:
        super().overdue(promise)
        self._metrics.promise_ended(promise.pool, promise.outcome)
