"""`doctor`: whether all that a run needs is as it should be."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer


class DoctorFormat(StrEnum):
    TEXT = "text"
    JSON = "json"


def doctor(
    context: typer.Context,
    *,
    form: Annotated[DoctorFormat, typer.Option("--format", help="How the checks are printed.")] = DoctorFormat.TEXT,
) -> None:
    """Check settings, credentials (one login, never more), accounts, callbacks, ledger and clock. Changes nothing."""
    import os
    from pathlib import Path

    from licensesync.cli import output
    from licensesync.cli.examination import examine
    from licensesync.cli.streams import print_result
    from licensesync.exit_codes import ExitCode
    from licensesync.model import Result
    from licensesync.render import checkup

    checks = examine(context.obj.settings, os.environ, Path.cwd())
    shown = checkup.document(checks) if form is DoctorFormat.JSON else checkup.text(checks, output.page()).encode()
    print_result(shown)
    unwell = any(check.result is Result.PROBLEM for check in checks)
    raise typer.Exit(ExitCode.UNUSABLE if unwell else ExitCode.FINE)
