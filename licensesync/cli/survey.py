"""The reading behind an import: every chosen pool whole, or nothing; and what is said of it."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import typer

from licensesync import composition, devices_from, reconcile
from licensesync.cli import to_the_end
from licensesync.cli.import_ import LIST
from licensesync.cli.progress import progress_on
from licensesync.cli.streams import say
from licensesync.composition import Lister, Survey
from licensesync.errors import InventoryError
from licensesync.exit_codes import ExitCode
from licensesync.files import LocalFiles
from licensesync.journal import RunJournal
from licensesync.model import DeviceId, Place, Pool, Unread
from licensesync.problems import Problems
from licensesync.render.inventory import Holdings, unnameable
from licensesync.render.words import clean, counted
from licensesync.roster import Group, Roster, Span
from licensesync.settings import GitSource, Settings

NAMED = 5  # identifiers in one message


def read_whole(work: Survey, listed: Mapping[str, Collection[DeviceId]] | None = None) -> list[Holdings]:
    """Who holds a license of each chosen pool; of pools in `listed`, these devices, if the service counts as many.

    Where a pool cannot be read whole, says so and ends the program.
    """
    read = to_the_end.run(_read(work, listed or {}))
    unread = [each for each in read if isinstance(each, Unread)]
    for each in unread:
        say(f"licensesync: pool {each.pool.name} could not be read whole ({each.reading}): {each.problem}")
    if unread:
        say("licensesync: nothing was written, since an inventory of a part would take the licenses of the rest")
        rejected = any(each.credentials_rejected for each in unread)
        raise typer.Exit(ExitCode.UNUSABLE if rejected else ExitCode.UNREAD)
    return [each for each in read if isinstance(each, Holdings)]


def read_with_list(work: Survey, file: Path) -> list[Holdings]:
    """The same, and the ledger knows from now on who holds the licenses of a pool that the service does not list.

    A list that does not agree with the service's count is not taken. Raises InventoryError with all that is wrong with
    the list, Locked, LedgerError.
    """
    from licensesync.ledger import database, holders, lock

    pool = _whose_list(work)
    listed = _listed_in(file, pool)
    path = work.settings.ledger_path(os.environ)
    with lock.held(path, "import", datetime.now(UTC)):
        read = read_whole(work, {pool.name: listed})
        with database.written(path) as ledger, ledger.begin():
            came, went = holders.replace_all(ledger, pool, listed)
    say(f"the ledger has {counted(len(listed), 'holder')} of pool {pool.name} now: {came} more, {went} gone")
    return read


def tell(holdings: Sequence[Holdings], settings: Settings, output: Path | None) -> None:
    """Say what was written, what could not be, and what comes next."""
    left_out = unnameable(holdings)
    if left_out:
        _warn_of(left_out)
    written = " and ".join(
        f"{counted(len(each.observed.holders - set(left_out)), 'device')} of pool {each.pool.name}" for each in holdings
    )
    is_part = len(holdings) < len(settings.pools)
    plan = " ".join(["licensesync plan", *(f"--pool {each.pool.name}" for each in holdings if is_part)])
    say(f"wrote {written} to {output or 'standard output'}; next: {_detour(settings, output)}{plan}")


def _whose_list(work: Survey) -> Pool:
    """The only pool of those that were chosen whose holders nobody lists."""
    unlisted = [pool for pool in work.pools if not pool.product.is_listed]
    if len(unlisted) == 1:
        return unlisted[0]
    ways = ", ".join(f"--pool {pool.name}" for pool in work.settings.pools.values() if not pool.product.is_listed)
    hint = f"it is for one pool of a product that the service does not list; write {ways or 'no --file'}"
    raise typer.BadParameter(hint, param_hint=LIST)


def _listed_in(file: Path, pool: Pool) -> list[DeviceId]:
    """The devices of a list. Raises InventoryError with all that is wrong with it."""
    problems = Problems()
    roster = Roster({pool.name: pool})
    written = file.read_bytes()
    devices_from.read(written, file.name, roster, problems)
    if not written.strip():
        hint = "write a header line imei,iccid, and a line for each device; none if nobody holds a license"
        problems.add(Place(file.name, 1, 1), "the list is empty", hint)
    if len(roster):
        group = Group(file.name, (pool.name,), 0, None, None, consents=True)
        roster.enroll(Span(range(len(roster)), file.name, group), problems)
        roster.close(problems)
    if len(problems):
        raise InventoryError(problems.in_order())
    return list(roster.named(pool))


async def _read(work: Survey, listed: Mapping[str, Collection[DeviceId]]) -> list[Holdings | Unread]:
    """Pools are read side by side, and one that fails stops no other."""
    with progress_on(sys.stderr) as shown:
        async with composition.listers(work, listed) as listers, asyncio.TaskGroup() as reading:
            tasks = [reading.create_task(_listed(lister, RunJournal(shown))) for lister in listers]
    return [task.result() for task in tasks]


async def _listed(lister: Lister, journal: RunJournal) -> Holdings | Unread:
    observed = await reconcile.read(lister, (), journal)
    return observed if isinstance(observed, Unread) else Holdings(lister.pool, observed, lister.since)


def _warn_of(left_out: Sequence[DeviceId]) -> None:
    rest = [f"and {len(left_out) - NAMED} more"] if len(left_out) > NAMED else []
    named = ", ".join([*map(clean, left_out[:NAMED]), *rest])
    say(
        f"licensesync: an inventory cannot name {counted(len(left_out), 'holder')}, as an IMEI is 14 to 16 digits: "
        f"{named}. They stand in it as comments, so that a plan does not want them: in mode full it removes them"
    )


def _detour(settings: Settings, output: Path | None) -> str:
    """What must be done before a plan reads what was written; nothing where it is the inventory of the settings."""
    source = settings.inventory
    if isinstance(source, GitSource):
        return f"commit it to {source.url}, then "
    if output is not None and _is_part_of(source.path, output):
        return ""
    return f"let it be the inventory of the settings ({source.path}), then "


def _is_part_of(inventory: Path, file: Path) -> bool:
    if not inventory.is_dir():
        return file.resolve() == inventory.resolve()
    names, _ = LocalFiles(inventory, inventory).names()
    return any((inventory / name).resolve() == file.resolve() for name in names)
