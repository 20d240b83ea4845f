"""`explain`: the story of one device."""

from __future__ import annotations

from collections.abc import Collection
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from licensesync.cli.options import Pools, identifier
from licensesync.exit_codes import ExitCode
from licensesync.render.words import clean

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
    known_as = identifier(device, "DEVICE")

    from licensesync.cli import output, research
    from licensesync.cli.streams import print_result, say
    from licensesync.render import explanation
    from licensesync.render import story as render

    story = research.story(context.obj, known_as, pool, offline=offline)
    if form is StoryFormat.JSON:
        print_result(explanation.as_json(story))
    elif story.is_known:
        print_result(render.text(story, output.page()).encode())
    if not story.is_known:
        say(_unknown(device, story, pool or ()))
        raise typer.Exit(ExitCode.UNUSABLE)


def _unknown(device: str, story: Story, pools: Collection[str]) -> str:
    """Where it was looked for."""
    within = f" for pool {', '.join(pools)}" if pools else ""
    asked = "the service lists it in no pool that was asked for" if pools else "the service lists it in no pool"
    if story.unread:
        asked = f"not all pools were read ({'; '.join(dict.fromkeys(each.problem for each in story.unread))})"
    known = f"the inventory does not name it{within}, the ledger has nothing{within}, {asked}"
    return clean(f"licensesync: nothing is known of {device}: {known}")
