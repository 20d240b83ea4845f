"""`plan`: the one-shot dry run."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from licensesync.cli.options import Out, Pools

if TYPE_CHECKING:
    from licensesync.composition import Pass
    from licensesync.model import RunPlan
    from licensesync.reconcile import Recall


class PlanFormat(StrEnum):
    TEXT = "text"
    JSON = "json"
    MARKDOWN = "markdown"


def plan(
    context: typer.Context,
    *,
    form: Annotated[PlanFormat, typer.Option("--format", help="How the plan is printed.")] = PlanFormat.TEXT,
    out: Out = None,
    detailed_exitcode: Annotated[
        bool, typer.Option("--detailed-exitcode", help="Exit 2 when there are changes to make.")
    ] = False,
    pool: Pools = None,
    git_ref: Annotated[
        str | None, typer.Option(metavar="REF", help="Plan the inventory of this commit instead of the files.")
    ] = None,
    base: Annotated[
        str | None, typer.Option(metavar="REF", help="Devices that this commit's inventory names count as managed.")
    ] = None,
) -> None:
    """Show what would change: reads, compares, prints. Never writes to ThingSpace."""
    from licensesync import exit_codes
    from licensesync.cli import composition, ledger, output, to_the_end
    from licensesync.render import json

    work = composition.prepare(context.obj, pool, git_ref)
    named = composition.named_at(work, base) if base is not None else {}
    output.must_be_writable(out)
    with ledger.remembered(work, named) as recall:
        run_plan = to_the_end.run(planned(work, recall))
    if out is not None:
        output.save(out, json.plan(run_plan))
    output.print_plan(run_plan, form)
    raise typer.Exit(exit_codes.of_plan(run_plan, detailed=detailed_exitcode))


async def planned(work: Pass, recall: Mapping[str, Recall]) -> RunPlan:
    """The plan of a pass by a client that can only read, with progress on standard error."""
    from licensesync import composition
    from licensesync.cli.progress import progress_on
    from licensesync.journal import RunJournal

    with progress_on(sys.stderr) as shown:
        async with composition.observers(work) as observers:
            return await composition.plan(work, observers, composition.policy(work), RunJournal(shown), recall)
