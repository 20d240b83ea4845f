"""How the metrics follow what happens: each event of a run, a reload or a request changes those that tell of it."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.openmetrics import exposition as openmetrics

from licensesync import __version__
from licensesync.daemon.instruments import (
    PREFIX,
    WITHOUT_REPORT,
    OfInventory,
    OfPools,
    OfProgram,
    OfRuns,
    OfService,
    Rack,
)
from licensesync.daemon.standing import Standing, standing
from licensesync.model import UNFINISHED, InventoryInfo, Outcome, Plan, Pool, PoolReport, Reading, Report, Unread

LONGEST_AUTHOR: Final = 80


class Metrics:
    """All metrics of one daemon, in a registry of its own; it is told what happens, and renders them when asked.

    As a `Meter` it is told of requests. Pools that are not in the settings (`pools`) have no series.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self.registry = CollectorRegistry()
        self._clock = clock
        self._known: set[str] = set()
        self._succeeded: dict[str, float] = {}
        self._succeeded_before: dict[str, float] = {}
        self._fresh_at: float | None = None
        self._asks_again_at = 0.0
        rack = Rack(self.registry)
        self._pools, self._runs = OfPools(rack), OfRuns(rack)
        self._inventory, self._service = OfInventory(rack), OfService(rack)
        OfProgram(rack, __version__).started.set(clock())
        ProcessCollector(namespace=PREFIX, registry=self.registry)
        self._inventory.age.set_function(self._inventory_age)
        self._service.retry_wait.set_function(self._retry_wait)

    def render(self, accept: str = "") -> tuple[bytes, str]:
        """The metrics as they are now and their content type: OpenMetrics for who accepts it, else Prometheus text."""
        if "application/openmetrics-text" in accept:
            return openmetrics.generate_latest(self.registry), openmetrics.CONTENT_TYPE_LATEST
        return generate_latest(self.registry), CONTENT_TYPE_PLAIN_0_0_4

    def ready_when(self, is_ready: Callable[[], bool]) -> None:
        """Whether the daemon is ready is asked whenever metrics are rendered."""
        self._runs.ready.set_function(lambda: float(is_ready()))

    # The pools of the settings

    def pools(self, names: Iterable[str]) -> None:
        """These are the pools of the settings from now on; series of others vanish, those of new ones begin at zero."""
        names = set(names)
        for gone in self._known - names:
            self._pools.forget(gone)
        for new in sorted(names - self._known):
            self._pools.begin(new)
        self._known = names

    def quarantine(self, pool: str, devices: int) -> None:
        """So many devices of a pool are in quarantine, as the ledger says."""
        if pool in self._known:
            self._pools.quarantined.labels(pool).set(devices)

    def open_requests(self, pool: str, requests: int) -> None:
        """So many actions of a pool have no known end, as the ledger says."""
        if pool in self._known:
            self._pools.open_requests.labels(pool).set(requests)

    # The runs

    def run_began(self) -> None:
        self._runs.in_progress.set(1)

    def planned(self, planned: Plan | Unread) -> None:
        """A pool was planned for, or could not be read whole: then its last figures stay."""
        pool = planned.pool.name
        if pool not in self._known:
            return
        if isinstance(planned, Unread):
            self._pools.readings.labels(pool, planned.reading).inc()
            self._pools.failures.labels(pool).inc()
            return
        if planned.rests_on is None:
            self._pools.readings.labels(pool, Reading.WHOLE).inc()
        self._pools.failures.labels(pool).set(0)
        self._pools.refused.labels(pool).set(planned.refusal is not None)
        if planned.refusal:
            self._pools.refusals.labels(pool, planned.refusal.rule).inc()
        self._stands(pool, standing(planned))

    def settled(self, pool: Pool, outcomes: Sequence[Outcome]) -> None:
        """Actions of a pool that were sent have their outcomes."""
        if pool.name in self._known:
            for (verb, kind), count in Counter((each.action.verb, each.kind) for each in outcomes).items():
                self._pools.actions.labels(pool.name, verb, kind).inc(count)

    def reconciled(self, report: PoolReport) -> None:
        """A run is through with a pool."""
        pool = report.plan.pool.name
        if isinstance(report.plan, Unread) or pool not in self._known:
            return
        self._stands(pool, standing(report.plan, report.settled))
        for kind in UNFINISHED:
            self._pools.unfinished.labels(pool, kind).set(report.number_settled(kind))
        if not report.number_settled(*UNFINISHED):
            self._succeeded_before[pool] = self._succeeded.get(pool, 0.0)
            self._succeed(pool, self._clock())

    def promise_ended(self, pool: Pool, outcome: Outcome) -> None:
        """A callback told the end of a request of an earlier run, or the time for one is over."""
        self.settled(pool, [outcome])
        if pool.name in self._known and outcome.kind in UNFINISHED:
            self._pools.unfinished.labels(pool.name, outcome.kind).inc()
            self._succeed(pool.name, self._succeeded_before.get(pool.name, 0.0))

    def _succeed(self, pool: str, at: float) -> None:
        self._succeeded[pool] = at
        self._pools.last_success.labels(pool).set(at)

    def run_ended(self, report: Report | None, seconds: float) -> None:
        """A run ended after so long; without a report if an error ended it."""
        self._runs.in_progress.set(0)
        self._runs.ended.labels(report.verdict if report else WITHOUT_REPORT).inc()
        self._runs.duration.observe(seconds)
        self._runs.last.set(self._clock())

    def scheduled(self, next_run: datetime | None, attempts: Mapping[str, datetime]) -> None:
        """When the next run is due, and when each pool that backs off is tried again."""
        self._runs.next.set(next_run.timestamp() if next_run else 0)
        for pool in self._known:
            self._pools.next_attempt.labels(pool).set(attempts[pool].timestamp() if pool in attempts else 0)

    # The inventory

    def inventory_loaded(self, info: InventoryInfo, *, author: str = "") -> None:
        """Settings and inventory were read, and are in force from now on."""
        self._inventory.commit.info({"commit": info.commit or ""})
        self._inventory.author.info({"author": author[:LONGEST_AUTHOR].encode("utf-8", "replace").decode()})
        self._inventory.devices.set(info.devices)
        self._inventory.dirty.set(info.dirty)
        self._inventory.reloads.labels("loaded").inc()
        self._inventory.problems.set(0)

    def inventory_rejected(self, problems: int) -> None:
        """The newest settings or inventory have problems; the last good ones stay in force."""
        self._inventory.reloads.labels("rejected").inc()
        self._inventory.problems.set(max(1, problems))

    def inventory_fresh(self, at: datetime | None) -> None:
        """When the git remote was last fetched from; None for local files, which are never stale."""
        self._fresh_at = None if at is None else at.timestamp()

    # The service, as its `Meter`, and who is notified

    def answered(self, what: str, result: str, seconds: float) -> None:
        endpoint = _slug(what)
        self._service.requests.labels(endpoint, result).inc()
        self._service.duration.labels(endpoint).observe(seconds)

    def waits(self, what: str, seconds: float) -> None:
        """Of several that wait, the one that waits longest counts."""
        del what
        self._asks_again_at = max(self._asks_again_at, self._clock() + seconds)

    def callback(self, result: str) -> None:
        """A callback came, and this is what came of it."""
        self._service.callbacks.labels(result).inc()

    def notified(self, *, sent: bool) -> None:
        """A notification reached its webhook, or did not."""
        self._service.notifications.labels("sent" if sent else "failed").inc()

    # How it is done

    def _stands(self, pool: str, now: Standing) -> None:
        for state, count in now.licenses.items():
            self._pools.licenses.labels(pool, state).set(count)
        for state, count in now.devices.items():
            self._pools.devices.labels(pool, state).set(count)
        self._pools.drift.labels(pool).set(now.drift)

    def _inventory_age(self) -> float:
        return 0 if self._fresh_at is None else max(0, self._clock() - self._fresh_at)

    def _retry_wait(self) -> float:
        return max(0, self._asks_again_at - self._clock())


def _slug(what: str) -> str:
    """`FOTA license status` as `fota-license-status`."""
    return re.sub(r"[^a-z0-9]+", "-", what.lower())
