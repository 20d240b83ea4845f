"""`check`: everything that is wrong with settings and inventory, without network and credentials."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, assert_never

import typer

from licensesync.cli.streams import print_result
from licensesync.errors import SettingsError
from licensesync.model import Place, Problem, Severity

if TYPE_CHECKING:
    from licensesync.files import Source
    from licensesync.settings import Draft, Settings


class Format(StrEnum):
    TEXT = "text"
    JSON = "json"
    GITHUB = "github"


@dataclass(frozen=True)
class Findings:
    """What a check found; `folder` is the settings file's."""

    folder: Path
    problems: Sequence[Problem]
    devices: int = 0
    pools: int = 0


def check(
    context: typer.Context,
    form: Annotated[Format, typer.Option("--format", help="How problems are shown.")] = Format.TEXT,
    *,
    strict: Annotated[bool, typer.Option("--strict", help="Take warnings for errors.")] = False,
) -> None:
    """Check settings and inventory: no network, no credentials, all problems at once."""
    from licensesync import settings

    try:
        file = settings.find(context.obj.settings, os.environ, Path.cwd())
    except SettingsError as missing:
        if form is Format.TEXT:
            raise
        findings = Findings(Path.cwd(), missing.problems)
    else:
        findings = _looked_through(settings.draft(file), file)
    if strict:
        findings = replace(findings, problems=[replace(each, severity=Severity.ERROR) for each in findings.problems])
    if shown := _shown(findings, form):
        print_result(shown.encode("utf-8", "replace"))
    raise typer.Exit(any(problem.severity is Severity.ERROR for problem in findings.problems))


def _looked_through(written: Draft, file: Path) -> Findings:
    """The problems of the settings, then those of the inventory; broken settings may still lead to an inventory."""
    from licensesync import credentials, inventory
    from licensesync.errors import ProvenanceError
    from licensesync.files import LocalFiles
    from licensesync.sources import LocalSource

    folder = Path(os.path.abspath(file)).parent  # noqa: PTH100  # not resolved: places go by the names that are used
    pools = written.pools or {}
    if isinstance(written.inventory, LocalSource) and pools:
        known = written.settings
        secret = known.secret_files(os.environ) if known else credentials.files(os.environ)
        files: Source = LocalFiles(written.inventory.path, folder, secret)
    elif written.settings:
        try:
            files = _as_fetched(written.settings)
        except ProvenanceError as error:
            return Findings(folder, [Problem(Place(file.name, 1, 1), str(error), "")], pools=len(pools))
    else:
        return Findings(folder, written.problems, pools=len(pools))
    drafted = inventory.draft(files, pools)
    problems = [*written.problems, *inventory.with_warnings(drafted)]
    return Findings(folder, problems, drafted.inventory.info.devices, len(pools))


def _as_fetched(settings: Settings) -> Source:
    """The inventory of a git remote as it was when it was last fetched: there is no network here."""
    from licensesync.origin import origin

    return origin(settings, os.environ, fetch=False).files()


def _shown(findings: Findings, form: Format) -> str:
    from licensesync.render import problems as render

    match form:
        case Format.TEXT:
            return render.text(findings.problems, findings.devices, findings.pools)
        case Format.JSON:
            return render.as_json(findings.problems, findings.devices)
        case Format.GITHUB:
            return render.github(findings.problems, Path(os.path.relpath(findings.folder)).as_posix())
        case _:
            assert_never(form)
