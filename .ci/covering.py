"""A plugin for pytest: of all tests only those of the modules that decide are measured, for it doubles their cost."""

from __future__ import annotations

from fnmatch import fnmatch

import pytest

MEASURED = (
    "test_alarms.py",
    "test_callback_wire.py",
    "test_guard.py",
    "test_inventory.py",
    "test_ledger_memory.py",
    "test_located.py",
    "test_marks.py",
    "test_orders.py",
    "test_planner.py",
    "test_render_*.py",
    "test_sim_secure_wire.py",
    "test_submission.py",
    "test_walk.py",
    "test_wire.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if not any(fnmatch(item.path.name, name) for name in MEASURED):
            item.add_marker("no_cover")
