"""What the ledger tells of the past: runs, pools and outcomes as they were recorded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from licensesync.model.facts import Capacity
from licensesync.model.plans import InventoryInfo, Refusal
from licensesync.model.words import OutcomeKind, Reading, RunVerdict, Verb


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One run; `finished_at`, `verdict` and `exit` are None while it goes on, and for good where it was killed."""

    run: str
    command: str
    started_at: datetime
    finished_at: datetime | None
    verdict: RunVerdict | None
    exit: int | None
    inventory: InventoryInfo
    plan: str | None


@dataclass(frozen=True, slots=True)
class PoolRecord:
    """One pool in a run. `counts` as in a report, `held` by reason; `licenses` is whose licenses of what these are."""

    run: str
    pool: str
    licenses: str
    mode: str
    reading: Reading
    verdict: RunVerdict | None
    problem: str | None
    read_at: datetime | None
    capacity: Capacity | None
    waiting: int
    counts: Mapping[str, int]
    held: Mapping[str, int]
    refusal: Refusal | None


@dataclass(frozen=True, slots=True)
class OutcomeRecord:
    """What became of one action that was sent; `in_flight` where nothing is known of it yet."""

    run: str
    at: datetime
    commit: str | None
    pool: str
    verb: Verb
    device: str
    iccid: str | None
    outcome: OutcomeKind
    reason: str | None
    service: str | None
    group: str | None
    place: str | None
    retry_at: datetime | None
    in_flight: bool
    request: str | None = None

    @property
    def awaits_callback(self) -> bool:
        """Whether the service has accepted it, and is to tell its end by `retry_at`."""
        return self.outcome is OutcomeKind.PENDING and self.request is not None


@dataclass(frozen=True, slots=True)
class QuarantineRecord:
    """A device that is set aside: why, since when, until when, after how many equal failures."""

    pool: str
    device: str
    iccid: str | None
    verb: Verb
    reason: str
    service: str | None
    failures: int
    since: datetime
    until: datetime
    group: str | None
    place: str | None


@dataclass(frozen=True, slots=True)
class PoolStatus:
    """How a pool of the settings stands; `last` is how a run last ended for it, None where none ever did.

    For `open_requests` devices something was asked whose end is not known, which for the `unknown` nobody is to tell.
    """

    pool: str
    last: PoolRecord | None = None
    quarantined: int = 0
    open_requests: int = 0
    unknown: int = 0


@dataclass(frozen=True, slots=True)
class ServiceRecord:
    """The service that runs: `attempts` are when each pool that backs off is tried again.

    `problems` are those of the newest settings or inventory, if it is the last good one that is in force, and
    `rejected_at` is since when. `fresh_at` is when a git remote was last reached, None for local files, and `stale` why
    it did not answer when it was last asked.
    """

    pid: int
    started_at: datetime
    next_run: datetime | None = None
    attempts: Mapping[str, datetime] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    rejected_at: datetime | None = None
    fresh_at: datetime | None = None
    stale: str | None = None


@dataclass(frozen=True, slots=True)
class Status:
    """How everything stands, as of the ledger; `service` is None where none runs."""

    pools: tuple[PoolStatus, ...]
    last_run: RunRecord | None = None
    service: ServiceRecord | None = None


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which part of the past is asked for; None is no matter. `device` is an IMEI or an ICCID.

    `licenses` are those of a pool, whatever name it had at the time.
    """

    device: str | None = None
    run: str | None = None
    pool: str | None = None
    outcome: OutcomeKind | None = None
    since: datetime | None = None
    licenses: str | None = None
