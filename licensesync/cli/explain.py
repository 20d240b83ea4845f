"""`explain`: the story of one device."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from licensesync.cli.options import ExitCode, Pools

if TYPE_CHECKING:
    from licensesync.model import Story


class StoryFormat(StrEnum):
    TEXT = "text"
    JSON = "json"


def explain(
    context: typer.Context,
    device: Annotated[str, typer.Argument(metavar="DEVICE", help="Its IMEI or ICCID.")],
    *,
    form: Annotated[StoryFormat, typer.Option("--format", help="How the story is printed.")] = StoryFormat.TEXT,
    pool: Pools = None,
    offline: Annotated[bool, typer.Option("--offline", help="Do not ask the service.")] = False,
) -> None:
    """Say why a device has, lacks, waits for or loses a license: inventory, service, plan, ledger."""
    from licensesync.identifiers import ICCID, IMEI

    if not IMEI.fullmatch(device) and not ICCID.fullmatch(device):
        wanted = "write an IMEI (14 to 16 digits) or an ICCID (18 to 20 digits)"
        raise typer.BadParameter(f"{device!r} is no device; {wanted}", param_hint="DEVICE")

    from licensesync.cli import output, research
    from licensesync.cli.streams import print_result
    from licensesync.render import story as render

    story = research.story(context.obj, device, pool, offline=offline)
    if form is StoryFormat.JSON:
        print_result(render.as_json(story))
    elif story.is_known:
        print_result(render.text(story, output.page()).encode())
    if not story.is_known:
        typer.echo(_unknown(device, story), err=True)
        raise typer.Exit(ExitCode.UNUSABLE)


def _unknown(device: str, story: Story) -> str:
    asked = "the service lists it in no pool"
    if story.unread:
        asked = f"not all pools were read ({'; '.join(sorted({each.problem for each in story.unread}))})"
    return f"licensesync: nothing is known of {device}: the inventory does not name it, the ledger has nothing, {asked}"
