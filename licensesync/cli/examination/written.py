"""Checks what people wrote: the settings and the inventory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from licensesync import credentials, inventory, provenance
from licensesync.cli.examination.told import NO_SETTINGS, with_advice
from licensesync.errors import InventoryError, ProvenanceError
from licensesync.files import LocalFiles
from licensesync.model import Check, Problem, Severity
from licensesync.origin import origin
from licensesync.provenance import OutsideGit
from licensesync.render import problems as counts
from licensesync.render import summary
from licensesync.render.words import counted, moment
from licensesync.settings import Draft, Settings
from licensesync.sources import GitSource, LocalSource

SETTINGS: Final = "settings"
INVENTORY: Final = "inventory"
SHOWN: Final = 3


def of_settings(file: Path, draft: Draft) -> list[Check]:
    """One check, or one for each problem."""
    if draft.settings:
        return [Check.ok(SETTINGS, f"{file}: {counted(len(draft.settings.pools), 'pool')}")]
    return [Check.problem(SETTINGS, f"{each.place}: {each.message}", each.hint) for each in draft.problems]


def of_inventory(file: Path, draft: Draft, environ: Mapping[str, str]) -> Check:
    """The inventory: local files also where the settings have problems that do not concern them."""
    match draft.inventory:
        case LocalSource() as source if draft.pools:
            return _on_disk(source, file.parent, draft, environ)
        case GitSource() as source if draft.settings:
            return _in_git(source, draft.settings, environ)
        case _:
            return Check.skipped(INVENTORY, NO_SETTINGS)


def _in_git(source: GitSource, found: Settings, environ: Mapping[str, str]) -> Check:
    """The remote is asked for its newest commit, which is then read from the mirror."""
    try:
        stands = origin(found, environ, fetch=True)
        info = stands.load(found.pools).info
    except ProvenanceError as error:
        return with_advice(INVENTORY, error)
    except InventoryError as error:
        return _with_problems(error.problems)
    told = f"{source.url}: {summary.inventory(info)}"
    if stands.stale and stands.fresh_at:
        return Check.problem(INVENTORY, f"{told}, as of {moment(stands.fresh_at)}", stands.stale)
    return Check.ok(INVENTORY, told)


def _on_disk(source: LocalSource, folder: Path, draft: Draft, environ: Mapping[str, str]) -> Check:
    secret = draft.settings.secret_files(environ) if draft.settings else credentials.files(environ)
    drafted = inventory.draft(LocalFiles(source.path, folder, secret), draft.pools or {})
    problems = inventory.with_warnings(drafted)
    if problems:
        return _with_problems(problems)
    try:
        found = provenance.must_be_clean(source.path) if source.require_clean else provenance.checked_out(source.path)
    except OutsideGit:
        return Check.ok(INVENTORY, f"{source.path}: {summary.inventory(drafted.inventory.info)}")
    except ProvenanceError as error:
        if source.require_clean:
            return with_advice(INVENTORY, error)
        told = f"{source.path}: {summary.inventory(drafted.inventory.info)}, of an unknown commit"
        return Check.warning(INVENTORY, told, str(error))
    info = replace(drafted.inventory.info, commit=found.commit, author=found.author, dirty=bool(found.changes))
    return Check.ok(INVENTORY, f"{source.path}: {summary.inventory(info)}")


def _with_problems(problems: Sequence[Problem]) -> Check:
    told = [f"{each.place}: {each.message}" for each in problems[:SHOWN]]
    more = [f"and {len(problems) - SHOWN} more"] if len(problems) > SHOWN else []
    found = f"{counts.verdict(problems)}: {', '.join([*told, *more])}"
    make = Check.problem if any(each.severity is Severity.ERROR for each in problems) else Check.warning
    return make(INVENTORY, found, "licensesync check shows all, with what to write")
