"""What the import contracts cannot see: the modules that decide and carry out never ask which product it is."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import licensesync

SOURCES = Path(licensesync.__file__).parent
OF_A_PRODUCT = frozenset({"Product", "product", "sku", "others", "iccid_of", "needs_iccid", "is_listed"})


@pytest.mark.parametrize("module", ["guard", "planner", "quarantine", "reconcile", "submission"])
def test_plan_guard_and_submission_serve_every_product_without_asking_which_it_is(module: str) -> None:
    tree = ast.parse((SOURCES / f"{module}.py").read_text())
    names = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    names |= {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    names |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert not names & OF_A_PRODUCT


def test_only_settings_the_composition_root_and_the_check_up_choose_by_product() -> None:
    """Whoever else asks, asks for a property of the product, and never for its name."""
    asking = {
        str(path.relative_to(SOURCES))
        for path in SOURCES.rglob("*.py")
        if path.parts[-2] != "simulator" and "Product.SIM_SECURE" in path.read_text()
    }
    assert asking == {
        "model/words.py",
        "pools.py",
        "schemas.py",
        "settings.py",
        "composition.py",
        "cli/examination/callbacks.py",
        "cli/examination/network.py",
        "cli/examination/secrets.py",
    }
