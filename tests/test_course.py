"""What the service remembers of each pool's course."""

from __future__ import annotations

from render_worlds import FOTA, INVENTORY, NOW, assign

from licensesync.daemon.course import Course
from licensesync.model import Capacity, Held, HeldReason, Plan, PoolReport, Reading, Unread

UNREADABLE = PoolReport(Unread(FOTA, Reading.PARTIAL, "the pages do not add up"))


def test_a_pool_that_leaves_the_settings_in_the_middle_of_a_run_is_not_shown_any_longer() -> None:
    course = Course()
    course.keep(["fota"])
    course.reconciled(UNREADABLE, NOW)
    assert course.sentence(INVENTORY, {}, None).startswith("fota: could not be read")
    course.keep(["sim"])
    course.reconciled(UNREADABLE, NOW)
    assert course.sentence(INVENTORY, {}, None) == ""


def test_a_pool_is_in_step_but_for_whom_it_waits_and_whom_it_leaves_alone() -> None:
    reasons = (HeldReason.NO_CAPACITY, HeldReason.AWAITING_REMOVALS, HeldReason.QUARANTINED, HeldReason.MODE)
    held = tuple(Held(assign(number), reason) for number, reason in enumerate(reasons))
    plan = Plan(FOTA, Capacity(5, 5), (), held, kept=5, foreign=0)
    course = Course()
    course.reconciled(PoolReport(plan), NOW)
    said = course.sentence(INVENTORY, {}, None)
    assert said == f"fota: in step at {(INVENTORY.commit or '')[:7]}, 2 waiting, 1 quarantined"
