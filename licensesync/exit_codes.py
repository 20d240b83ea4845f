"""The exit codes, and which of them a plan or a report ends with."""

from __future__ import annotations

from enum import IntEnum

from licensesync.model import UNFINISHED, Plan, PlanVerdict, Report, RunPlan, RunVerdict, Unread


class ExitCode(IntEnum):
    FINE = 0
    UNUSABLE = 1
    CHANGES = 2
    REFUSED = 3
    UNREAD = 4
    UNFINISHED = 5
    LOCKED = 6
    USAGE = 64
    INTERRUPTED = 130


def of_plan(run_plan: RunPlan, *, detailed: bool = False) -> ExitCode:
    """The code that `plan` ends with; `detailed` tells that there are changes to make."""
    if any(isinstance(pool, Unread) and pool.credentials_rejected for pool in run_plan.pools):
        return ExitCode.UNUSABLE
    verdict = run_plan.verdict
    codes = {PlanVerdict.UNREAD: ExitCode.UNREAD, PlanVerdict.REFUSED: ExitCode.REFUSED}
    if detailed and any(isinstance(pool, Plan) and pool.actions for pool in run_plan.pools):
        codes[PlanVerdict.CHANGES] = ExitCode.CHANGES
    return codes.get(verdict, ExitCode.FINE)


def of_report(report: Report) -> ExitCode:
    """The code that a run ends with; devices that are merely held do not change it."""
    if report.unrecorded or any(pool.credentials_rejected or pool.unrecorded for pool in report.pools):
        return ExitCode.UNUSABLE
    if report.verdict is RunVerdict.UNREAD:
        return ExitCode.UNREAD
    if report.verdict is RunVerdict.REFUSED:
        return ExitCode.REFUSED
    unfinished = any(pool.number_settled(*UNFINISHED) for pool in report.pools)
    return ExitCode.UNFINISHED if unfinished else ExitCode.FINE
