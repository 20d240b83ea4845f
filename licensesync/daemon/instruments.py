"""Which metrics there are: their names, their labels, and what each of them means."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, disable_created_metrics

from licensesync.callbacks.desk import Reception
from licensesync.callbacks.listener import Rejected
from licensesync.model import UNFINISHED, OutcomeKind, Reading, Rule, RunVerdict, Verb

PREFIX: Final = "licensesync"
RUN_TAKES: Final = (0.1, 0.3, 1, 3, 10, 30, 60, 120, 300, 600, 1200, 1800, 3600)
REQUEST_TAKES: Final = (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60)
WITHOUT_REPORT: Final = "error"

disable_created_metrics()  # when a series began is of no use to anybody here, and doubles their number


class Rack:
    """Makes instruments that a registry collects, all under one prefix."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def gauge(self, name: str, meaning: str, *labels: str) -> Gauge:
        return Gauge(name, meaning, labels, namespace=PREFIX, registry=self._registry)

    def counter(self, name: str, meaning: str, *labels: str) -> Counter:
        return Counter(name, meaning, labels, namespace=PREFIX, registry=self._registry)

    def histogram(self, name: str, meaning: str, buckets: Sequence[float], *labels: str) -> Histogram:
        return Histogram(name, meaning, labels, namespace=PREFIX, registry=self._registry, buckets=buckets)

    def info(self, name: str, meaning: str, **labels: str) -> Info:
        told = Info(name, meaning, namespace=PREFIX, registry=self._registry)
        told.info(labels)
        return told


class OfPools:
    """What is told of each pool; no label grows with the number of devices."""

    def __init__(self, rack: Rack) -> None:
        self.licenses = rack.gauge(
            "licenses",
            "Licenses of the pool: total, assigned, free; by the last whole reading and what was done since. "
            "Before the first there are no series of licenses, devices and drift.",
            "pool",
            "state",
        )
        self.devices = rack.gauge(
            "devices",
            "Devices of the pool: desired, kept (desired and licensed), assign and remove (still to be done), held, "
            "of them waiting and quarantined, and foreign; by the last whole reading and what was done since.",
            "pool",
            "state",
        )
        self.drift = rack.gauge(
            "drift",
            "Devices that are not as the inventory wants them: to be assigned or removed, or held, "
            "unless held as foreign, mode, protected or irrevocable.",
            "pool",
        )
        self.actions = rack.counter(
            "actions", "Actions that were sent, by verb and outcome.", "pool", "verb", "outcome"
        )
        self.unfinished = rack.gauge(
            "unfinished", "Actions of the pool's last run that were rejected, failed or unknown.", "pool", "outcome"
        )
        self.refusals = rack.counter("refusals", "Plans whose removals the guard refused, by rule.", "pool", "rule")
        self.refused = rack.gauge("refused", "1 while the guard refuses the pool's removals, else 0.", "pool")
        self.readings = rack.counter(
            "readings", "Readings of the pool: whole, partial, unread; a quiet run makes none.", "pool", "reading"
        )
        self.failures = rack.gauge("pool_failures", "Runs in a row that could not read the pool whole.", "pool")
        self.next_attempt = rack.gauge(
            "pool_next_attempt_timestamp_seconds",
            "When a pool that backs off is tried again; 0 for one that does not back off.",
            "pool",
        )
        self.last_success = rack.gauge(
            "last_success_timestamp_seconds",
            "When a run last read the pool whole, or was quiet, and ended with nothing rejected, failed or unknown; "
            "0 if none has since the start.",
            "pool",
        )
        self.quarantined = rack.gauge("quarantined_devices", "Devices that the ledger holds in quarantine.", "pool")
        self.open_requests = rack.gauge(
            "open_requests",
            "Devices for which something was asked whose end is not known: in flight, pending or unknown.",
            "pool",
        )

    def begin(self, pool: str) -> None:
        """The pool's series exist at zero from now on, so that the first of an event is seen as one.

        Those of licenses, devices and drift come with the first whole reading: nobody knows that there are none.
        """
        for verb, kind in product(Verb, OutcomeKind):
            self.actions.labels(pool, verb, kind)
        for kind in UNFINISHED:
            self.unfinished.labels(pool, kind)
        for rule in Rule:
            self.refusals.labels(pool, rule)
        for reading in Reading:
            self.readings.labels(pool, reading)
        single = (self.refused, self.failures, self.next_attempt, self.last_success, self.quarantined)
        for gauge in (*single, self.open_requests):
            gauge.labels(pool)

    def forget(self, pool: str) -> None:
        """The pool has no series any more."""
        for instrument in vars(self).values():
            instrument.remove_by_labels({"pool": pool})


class OfRuns:
    """What is told of the runs."""

    def __init__(self, rack: Rack) -> None:
        self.ended = rack.counter(
            "runs", "Runs that have ended, by verdict; error: without a report, the log says why.", "verdict"
        )
        for verdict in (*RunVerdict, WITHOUT_REPORT):
            self.ended.labels(verdict)
        self.duration = rack.histogram("run_duration_seconds", "How long runs took.", RUN_TAKES)
        self.in_progress = rack.gauge("run_in_progress", "1 while a run is going on, else 0.")
        self.last = rack.gauge("last_run_timestamp_seconds", "When the last run ended; 0 before the first end.")
        self.next = rack.gauge("next_run_timestamp_seconds", "When the next run is due; 0 if none is planned.")
        self.ready = rack.gauge("ready", "1 while /readyz answers 200, else 0.")


class OfInventory:
    """What is told of the inventory that is in force, and of the newest one."""

    def __init__(self, rack: Rack) -> None:
        self.commit = rack.info(
            "inventory", "Always 1; its label names the commit of the inventory in force, empty outside git.", commit=""
        )
        self.author = rack.info(
            "inventory_author", "Always 1; its label names the author of that commit, empty if unknown.", author=""
        )
        self.devices = rack.gauge("inventory_devices", "Devices that the inventory in force names.")
        self.dirty = rack.gauge("inventory_dirty", "1 if the inventory in force differs from its commit, else 0.")
        self.age = rack.gauge(
            "inventory_age_seconds", "Time since the last successful fetch from the git remote; 0 for local files."
        )
        self.problems = rack.gauge(
            "inventory_problems",
            "Problems of the newest settings and inventory, for which the last good ones stay in force; 0 if good.",
        )
        self.reloads = rack.counter(
            "reloads",
            "Times that new settings or a new inventory were read, the first ones included: loaded, rejected.",
            "result",
        )
        for result in ("loaded", "rejected"):
            self.reloads.labels(result)


class OfService:
    """What is told of the talk with ThingSpace, and with who is notified."""

    def __init__(self, rack: Rack) -> None:
        self.requests = rack.counter(
            "api_requests",
            "Requests to ThingSpace, by endpoint and result: ok, or the kind of error.",
            "endpoint",
            "result",
        )
        self.duration = rack.histogram(
            "api_request_duration_seconds", "How long ThingSpace took to answer.", REQUEST_TAKES, "endpoint"
        )
        self.retry_wait = rack.gauge(
            "api_retry_wait_seconds", "Time until a failed request is made again; 0 while none waits for that."
        )
        self.callbacks = rack.counter(
            "callbacks",
            "Callbacks by what came of them: settled, repeated, contradicted or kept; or why they were rejected: "
            "source, form, size, credentials, foreign.",
            "result",
        )
        for result in (*Reception, *Rejected):
            self.callbacks.labels(result)
        self.notifications = rack.counter("notifications", "Notifications by result: sent, failed.", "result")
        for result in ("sent", "failed"):
            self.notifications.labels(result)


class OfProgram:
    """What is told of the program itself."""

    def __init__(self, rack: Rack, version: str) -> None:
        self.build = rack.info("build", "Always 1; its label names the version of licensesync.", version=version)
        self.started = rack.gauge("start_time_seconds", "When the service started.")
