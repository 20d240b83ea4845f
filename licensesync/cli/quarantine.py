"""`quarantine`: the devices that are set aside, and their release."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from licensesync.cli.past import Past
    from licensesync.model import QuarantineRecord
    from licensesync.settings import Settings

quarantine = typer.Typer(
    name="quarantine",
    help="Show or release the devices that are set aside after repeated failures.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


class QuarantineFormat(StrEnum):
    TEXT = "text"
    JSON = "json"


@quarantine.command("list")
def list_(
    context: typer.Context,
    *,
    form: Annotated[QuarantineFormat, typer.Option("--format", help="How they are printed.")] = QuarantineFormat.TEXT,
) -> None:
    """Show which devices are set aside, why, and until when."""
    from licensesync.cli import output, past
    from licensesync.cli.streams import print_result
    from licensesync.render import quarantine as render

    with past.looked_at(context.obj) as seen:
        set_aside = _set_aside(seen)
    if form is QuarantineFormat.JSON:
        print_result(render.as_json(set_aside))
    else:
        print_result(render.text(set_aside, output.page()).encode())


@quarantine.command()
def release(
    context: typer.Context,
    devices: Annotated[list[str], typer.Argument(metavar="DEVICE…", help="IMEIs or ICCIDs.")],
) -> None:
    """End the quarantine of devices, in all pools: the next run asks for them again."""
    from licensesync.cli import output, past
    from licensesync.cli.streams import print_result, say
    from licensesync.exit_codes import ExitCode
    from licensesync.ledger.presence import exists
    from licensesync.render import quarantine as render

    settings, path = past.located(context.obj)
    released = _released(settings, path, devices) if exists(path) else []
    if released:
        print_result(render.released(released, output.page()).encode())
    known = {name for record in released for name in (record.device, record.iccid)}
    if others := [device for device in dict.fromkeys(devices) if device not in known]:
        say(f"not in quarantine: {', '.join(others)}; licensesync quarantine list shows who is")
        raise typer.Exit(ExitCode.UNUSABLE)


def _set_aside(seen: Past) -> Sequence[QuarantineRecord]:
    if seen.ledger is None:
        return []

    from datetime import UTC, datetime

    from licensesync.ledger import history

    return history.quarantined(seen.ledger, seen.settings.pools, datetime.now(UTC))


def _released(settings: Settings, path: Path, devices: Collection[str]) -> Sequence[QuarantineRecord]:
    from datetime import UTC, datetime

    from licensesync.ledger import database, failures, history

    names = {pool.licenses: name for name, pool in settings.pools.items()}
    with database.written(path) as ledger, ledger.begin():
        released = failures.release(ledger, devices, datetime.now(UTC))
    return [history.record(each, names) for each in released]
