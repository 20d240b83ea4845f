"""`import`: what an account holds now, as an inventory."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from licensesync.cli.options import Pools

OPTION = "--output"
LIST = "--file"


def import_(
    context: typer.Context,
    *,
    pool: Pools = None,
    output: Annotated[
        Path | None, typer.Option(OPTION, metavar="FILE", help="Write to this file instead of standard output.")
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(
            LIST,
            metavar="LIST.csv",
            help="Who holds the licenses of a sim-secure pool, which nobody lists: imei,iccid a line; into the ledger.",
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it exists.")] = False,
) -> None:
    """Write an inventory of what the account holds. A plan with it has nothing to do."""
    from datetime import UTC, datetime

    from licensesync.cli import composition, survey
    from licensesync.cli.output import must_be_new, must_be_writable, save
    from licensesync.cli.streams import print_result
    from licensesync.render import inventory

    work = composition.survey(context.obj, pool)
    must_be_writable(output, OPTION)
    if not force:
        must_be_new(output, OPTION)
    holdings = survey.read_whole(work) if file is None else survey.read_with_list(work, file)
    document = inventory.text(holdings, datetime.now(UTC)).encode()
    if output is None:
        print_result(document)
    else:
        save(output, document, OPTION, replacing=force)
    survey.tell(holdings, work.settings, output)
