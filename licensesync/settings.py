"""The settings file: where it is, and what it says, as frozen values; every problem in it at its place."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Final

from licensesync import pools
from licensesync.callers import TIMEOUT as CALLBACKS_TIMEOUT
from licensesync.callers import Callbacks, Tls, read_callbacks
from licensesync.credentials import CallbackCredentials, Credentials, callback_credentials, credentials, files
from licensesync.errors import SettingsError
from licensesync.files import Unreadable, read_file
from licensesync.located import Table, Text, tree
from licensesync.model import Place, Pool, Problem, Product
from licensesync.notices import Notifications, read_notifications
from licensesync.problems import Problems, shown
from licensesync.sources import GitSource, LocalSource, Source, read_source
from licensesync.values import (
    ADDRESS_OR_OFF,
    CRON,
    FLAG,
    URL,
    Address,
    Kind,
    Section,
    Unfit,
    choice,
    decimal,
    report_plain_http,
    section,
    span,
    whole,
    worded,
)

__all__ = [
    "CALLBACKS_TIMEOUT",
    "Address",
    "CallbackCredentials",
    "Callbacks",
    "Credentials",
    "DeviceLines",
    "Draft",
    "FotaCalls",
    "GitSource",
    "LocalSource",
    "Logs",
    "Notifications",
    "Schedule",
    "Settings",
    "Source",
    "StatusCall",
    "ThingSpace",
    "Tls",
    "callback_credentials",
    "credentials",
    "draft",
    "find",
    "load",
]

VARIABLE: Final = "LICENSESYNC_SETTINGS"
SYSTEM_FILE: Final = Path("/etc/licensesync/licensesync.yaml")
LARGEST: Final = 4 * 1024 * 1024
KEEP: Final = timedelta(days=400)
LISTEN: Final = Address("127.0.0.1", 9464)


class StatusCall(StrEnum):
    """How the call for the status of FOTA licenses is addressed: the documentation has three ways."""

    AUTO = "auto"
    V3_PATH = "v3-path"
    V3_QUERY = "v3-query"
    V1 = "v1"


@dataclass(frozen=True, slots=True)
class FotaCalls:
    status: StatusCall = StatusCall.AUTO
    licenses_path: str = "/licenses"


@dataclass(frozen=True, slots=True)
class ThingSpace:
    url: str = "https://thingspace.verizon.com"
    timeout: timedelta = timedelta(seconds=30)
    concurrency: int = 4
    requests_per_second: float = 10
    insecure: bool = False
    batch_size: int = 200
    fota: FotaCalls = FotaCalls()


@dataclass(frozen=True, slots=True)
class Schedule:
    """When runs begin: every so often, or as a cron expression says; one of the two is None."""

    every: timedelta | None = timedelta(minutes=15)
    cron: str | None = None
    jitter: timedelta = timedelta(seconds=30)


class DeviceLines(StrEnum):
    """What the log has of actions that went well: a line for each device, or one for each batch."""

    EACH = "each"
    BATCHES = "batches"


@dataclass(frozen=True, slots=True)
class Logs:
    devices: DeviceLines = DeviceLines.EACH


@dataclass(frozen=True, slots=True)
class Settings:
    """All that the settings file says; paths in it are absolute."""

    file: Path
    inventory: Source
    pools: Mapping[str, Pool]
    thingspace: ThingSpace = ThingSpace()
    ledger: str | None = None
    schedule: Schedule = Schedule()
    listen: Address | None = LISTEN
    callbacks: Callbacks | None = None
    keep: timedelta = KEEP
    notifications: Notifications | None = None
    logs: Logs = Logs()

    @property
    def folder(self) -> Path:
        """What places and relative paths are relative to."""
        return self.file.parent

    def ledger_path(self, environ: Mapping[str, str]) -> Path:
        """The ledger's file: as written, else in systemd's state folder, else beside the settings."""
        if self.ledger:
            return Path(self.ledger.removeprefix(SQLITE))
        state = environ.get("STATE_DIRECTORY", "").partition(":")[0]
        return Path(state, "ledger.db") if state else self.folder / "licensesync.db"

    def secret_files(self, environ: Mapping[str, str]) -> frozenset[Path]:
        """Files that no inventory may name, wherever they lie: credentials, and the key of a certificate."""
        keys = [self.callbacks.tls.key] if self.callbacks and self.callbacks.tls else []
        return files(environ) | {*keys}

    def mirror_path(self, environ: Mapping[str, str]) -> Path:
        """Where the inventory of a git remote is kept: beside the ledger."""
        ledger = self.ledger_path(environ)
        return ledger.parent / f"{ledger.stem}-inventory.git"


@dataclass(frozen=True, slots=True)
class Draft:
    """The settings as far as they can be read: `settings` is None unless there are no problems."""

    problems: tuple[Problem, ...]
    settings: Settings | None = None
    inventory: Source | None = None
    pools: Mapping[str, Pool] | None = None


def find(option: str | None, environ: Mapping[str, str], cwd: Path) -> Path:
    """The settings file: as asked for, else the first that exists. Raises SettingsError if there is none."""
    if named := option or environ.get(VARIABLE):
        searched, hint = [cwd / named], f"create it, or mend --settings or ${VARIABLE}"
    else:
        searched = [cwd / "licensesync.yaml", cwd / "config/licensesync.yaml", SYSTEM_FILE]
        hint = f"create it, or name another with --settings or ${VARIABLE}"
    for path in searched:
        with suppress(OSError):  # of the first that exists, whoever reads it learns what is the matter with it
            if not path.exists():
                continue
        return path
    raise SettingsError([Problem(Place(named or searched[0].name, 1, 1), "there is no such settings file", hint)])


def load(path: Path) -> Settings:
    """The settings. Raises SettingsError with all problems."""
    written = draft(path)
    if written.settings is None:
        raise SettingsError(written.problems)
    return written.settings


def draft(path: Path) -> Draft:
    """The settings as far as they can be read, with all problems."""
    file = Path(os.path.abspath(path))  # noqa: PTH100  # not resolved: what a link beside it means stays beside it
    problems = Problems()
    try:
        root = tree(read_file(file, largest=LARGEST), file.name, problems)
    except Unreadable as unreadable:
        problems.add(Place(file.name, 1, 1), unreadable.message, unreadable.hint)
        root = None
    written = None if root is None else section(root, problems, "the file")
    return _draft(file, written, problems) if written else Draft(problems.in_order())


def _draft(file: Path, written: Section, problems: Problems) -> Draft:
    inventory = _inventory(written, file.parent)
    pooled = _pools(written)
    thingspace = _thingspace(written.section("thingspace"))
    ledger = written.get("ledger", LEDGER, None)
    schedule = _schedule(written.section("schedule"))
    listen = written.get("listen", ADDRESS_OR_OFF, None) if "listen" in written else LISTEN
    callbacks = read_callbacks(written.section("callbacks"), file.parent, insecure=thingspace.insecure)
    keep = written.get("keep", span(), KEEP)
    notifications = read_notifications(written.section("notifications"), insecure=thingspace.insecure)
    logs = _logs(written.section("logs"))
    if "callbacks" not in written:
        _report_deaf_pools(pooled or {}, written)
    written.close()
    if len(problems) or inventory is None or pooled is None:
        return Draft(problems.in_order(), None, inventory, pooled)
    ledger = _beside(file.parent, ledger)
    settings = Settings(
        file, inventory, pooled, thingspace, ledger, schedule, listen, callbacks, keep, notifications, logs
    )
    return Draft((), settings, inventory, pooled)


def _inventory(written: Section, folder: Path) -> Source | None:
    node = written.node("inventory")
    if node is None:
        written.problems.add(written.table.place, "there is no inventory", "add inventory: a file or a folder")
        return None
    return read_source(node, folder, written.problems)


def _pools(written: Section) -> Mapping[str, Pool] | None:
    node = written.node("pools")
    if node is None:
        written.problems.add(written.table.place, "there are no pools", "add pools: with at least one pool below it")
        return None
    return pools.read(node, written.problems)


def _thingspace(written: Section | None) -> ThingSpace:
    default = ThingSpace()
    if not written:
        return default
    thingspace = ThingSpace(
        written.get("url", URL, default.url),
        written.get("timeout", span(), default.timeout),
        written.get("concurrency", CONCURRENCY, default.concurrency),
        written.get("requests_per_second", RATE, default.requests_per_second),
        written.get("insecure", FLAG, default.insecure),
        written.get("batch_size", BATCH_SIZE, default.batch_size),
        _fota(written.section("fota")),
    )
    written.close()
    report_plain_http(thingspace.url, "url", written, insecure=thingspace.insecure)
    return thingspace


def _fota(written: Section | None) -> FotaCalls:
    default = FotaCalls()
    if not written:
        return default
    calls = FotaCalls(
        written.get("status", STATUS_CALL, default.status),
        written.get("licenses_path", URL_PATH, default.licenses_path),
    )
    written.close()
    return calls


def _schedule(written: Section | None) -> Schedule:
    if not written:
        return Schedule()
    cron = written.get("cron", CRON, None)
    every = written.get("every", span(), None)
    interval = every or Schedule().every or timedelta()
    usual = timedelta() if "cron" in written else min(Schedule().jitter, interval / 10)
    jitter = written.get("jitter", span(zero=True), usual)
    written.close()
    if "cron" in written and "every" in written:
        written.problems.add(written.place("cron"), "cron and every exclude each other", "keep one of the two")
    return Schedule(None if cron else every or Schedule().every, cron, jitter)


def _logs(written: Section | None) -> Logs:
    default = Logs()
    if not written:
        return default
    logs = Logs(written.get("devices", DEVICE_LINES, default.devices))
    written.close()
    return logs


def _report_deaf_pools(pooled: Mapping[str, Pool], written: Section) -> None:
    """What becomes of SIM-Secure requests is told by callbacks alone."""
    named = written.table.values.get("pools")
    for name, pool in pooled.items():
        if pool.product is Product.SIM_SECURE and isinstance(named, Table):
            message = f"pool {shown(pool.name)} is {pool.product}, which needs callbacks"
            hint = "add callbacks: {listen: 0.0.0.0:9001, public_url: https://…}"
            written.problems.add(named.keys[name].place, message, hint)


def _beside(folder: Path, ledger: str | None) -> str | None:
    if ledger is None:
        return None
    return f"sqlite:///{os.path.normpath(folder / ledger.removeprefix(SQLITE))}"


def _ledger(text: Text) -> str:
    path = text.value.removeprefix(SQLITE)
    if path == text.value or not path.strip("/") or not path.isprintable():
        raise Unfit("is not the URL of an SQLite file")
    return text.value


SQLITE: Final = "sqlite:///"
CONCURRENCY: Final = whole(1)
BATCH_SIZE: Final = whole(1, 1_000)
RATE: Final = decimal(zero=False)
STATUS_CALL: Final = choice(StatusCall)
DEVICE_LINES: Final = choice(DeviceLines)
URL_PATH: Final = worded("(/[A-Za-z0-9._~-]+)+", "write a path such as /licenses")
LEDGER: Final = Kind(_ledger, "write sqlite:/// and a path, such as sqlite:///licensesync.db", {"type": "string"})
