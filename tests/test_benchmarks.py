"""The benchmark runs, and its figures are sane: it does not rot while nobody looks."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

BENCHMARK = Path(__file__).with_name("benchmarks") / "whole_way.py"


def test_the_whole_way_is_measured_part_by_part(tmp_path: Path) -> None:
    told = tmp_path / "told.json"
    command = [sys.executable, str(BENCHMARK), "--devices", "500", "--only", "check,stages", "--json", str(told)]
    shown = subprocess.run(command, check=True, capture_output=True, text=True, timeout=300).stdout
    document = json.loads(told.read_text())
    parts = document["parts"]

    assert "### budgets" in shown
    assert {row["process"] for row in parts["check"]} >= {"licensesync check", "yaml.CSafeLoader alone"}
    assert all(row["CPU s"] > 0 and row["peak MB"] > 0 for row in parts["check"])
    assert [row.get("changes %") for row in parts["stages"]] == [None, 0, 1, 10, 100]
    assert {budget["budget"] for budget in document["budgets"]} == {
        "d: check / events, list: CPU",
        "d: check / events, mappings: CPU",
    }
