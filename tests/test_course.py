"""What the service remembers of each pool's course."""

from __future__ import annotations

from render_worlds import FOTA, INVENTORY, NOW

from licensesync.daemon.course import Course
from licensesync.model import PoolReport, Reading, Unread

UNREADABLE = PoolReport(Unread(FOTA, Reading.PARTIAL, "the pages do not add up"))


def test_a_pool_that_leaves_the_settings_in_the_middle_of_a_run_is_not_shown_any_longer() -> None:
    course = Course()
    course.keep(["fota"])
    course.reconciled(UNREADABLE, NOW)
    assert course.sentence(INVENTORY, {}, None).startswith("fota: could not be read")
    course.keep(["sim"])
    course.reconciled(UNREADABLE, NOW)
    assert course.sentence(INVENTORY, {}, None) == ""
