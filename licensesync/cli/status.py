"""`status`: how everything stands, as of the ledger."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from licensesync.cli.past import Past
    from licensesync.model import Status


class StatusFormat(StrEnum):
    TEXT = "text"
    JSON = "json"


def status(
    context: typer.Context,
    *,
    form: Annotated[StatusFormat, typer.Option("--format", help="How the status is printed.")] = StatusFormat.TEXT,
) -> None:
    """Show how the pools stand as of the ledger: no network, no credentials."""
    from licensesync.cli import output, past
    from licensesync.cli.streams import print_result
    from licensesync.render import status as render

    with past.looked_at(context.obj) as seen:
        found = _found(seen)
    if form is StatusFormat.JSON:
        print_result(render.document(found))
    else:
        print_result(render.text(found, str(seen.path), output.page()).encode())


def _found(seen: Past) -> Status:
    from datetime import UTC, datetime

    from licensesync.model import PoolStatus, Status

    pools = seen.settings.pools
    if seen.ledger is None:
        return Status(tuple(map(PoolStatus, pools)))

    from licensesync.ledger import lock, service, standing

    running = service.kept(seen.ledger) if lock.is_held(seen.path, lock.SERVICE) else None
    return standing.status(seen.ledger, pools, datetime.now(UTC), running)
