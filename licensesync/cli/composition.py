"""What a command line asks for becomes what a pass is about: settings, the chosen pools, the inventory, who asks."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Mapping
from pathlib import Path

import typer

from licensesync import inventory, journal, logs, settings
from licensesync.cli.options import Globals, LogFormat
from licensesync.composition import Pass, Survey, Written
from licensesync.credentials import credentials
from licensesync.errors import InventoryError, LicenseSyncError
from licensesync.model import Memory, Pool
from licensesync.origin import origin
from licensesync.repository import NoSuchPath


def prepare(options: Globals, pool_names: Collection[str] | None, git_ref: str | None = None) -> Pass:
    """All that a pass needs before it asks the service anything. Raises what is wrong with any of it.

    With `git_ref` the inventory is that of a commit, else the one that is checked out, or the newest of a git remote.
    """
    return written(options, pool_names, git_ref).asked_by(credentials(os.environ))


def written(
    options: Globals, pool_names: Collection[str] | None, git_ref: str | None = None, *, fetch: bool = True
) -> Written:
    """The same without credentials, for what is known before the service is asked.

    Unless `fetch`, a git remote is not asked either: what it has said before is taken.
    """
    configure_journal(options)
    found = settings.load(settings.find(options.settings, os.environ, Path.cwd()))
    pools = _chosen(found.pools, pool_names or ())
    stands = origin(found, os.environ, fetch=fetch, ref=git_ref)
    if stands.stale:
        journal.inventory_stale(stands.stale, stands.fresh_at)
    if stands.nameless:
        journal.inventory_nameless(stands.nameless)
    loaded = stands.load(found.pools)
    return Written(found, pools, loaded, loaded.info)


def survey(options: Globals, pool_names: Collection[str] | None) -> Survey:
    """All that an import needs before it asks the service anything. Raises what is wrong with any of it."""
    configure_journal(options)
    found = settings.load(settings.find(options.settings, os.environ, Path.cwd()))
    return Survey(found, _chosen(found.pools, pool_names or ()), credentials(os.environ))


def named_at(work: Pass, ref: str) -> Mapping[str, Memory]:
    """What is remembered where there is no ledger: that the inventory of a commit has named these devices."""
    try:
        files = origin(work.settings, os.environ, fetch=True, ref=ref).files()
    except NoSuchPath:
        return {}
    if files.names() == ([], []):
        return {}
    try:
        base = inventory.load_from(files, work.settings.pools)
    except InventoryError as error:
        raise LicenseSyncError(
            f"the inventory at {ref} cannot be read, so that there is nothing to compare with; leave out --base, or "
            f"mend it there: {error}"
        ) from error
    return {pool.name: Memory(managed=base.named(pool)) for pool in work.pools}


def _chosen(pools: Mapping[str, Pool], names: Collection[str]) -> tuple[Pool, ...]:
    unknown = [name for name in names if name not in pools]
    if unknown:
        raise typer.BadParameter(f"unknown pool {', '.join(unknown)}; write one of {', '.join(pools)}")
    return tuple(pool for pool in pools.values() if not names or pool.name in names)


def configure_journal(options: Globals) -> None:
    """Logs go where the command line wants them."""
    logs.configure(as_json=_logs_as_json(options), level=options.log_level)


def _logs_as_json(options: Globals) -> bool:
    if options.log_format is None:
        return not sys.stderr.isatty()
    return options.log_format is LogFormat.JSON
