"""The alert rules, the dashboard, the README and the service speak of the same metrics."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from expositions import NOT_OURS, exported, families
from render_worlds import FOTA

from licensesync.daemon.metrics import Metrics
from licensesync.exit_codes import ExitCode
from licensesync.model import Capacity, Plan, Rule

ROOT = Path(__file__).parent.parent
ALERTS = yaml.safe_load((ROOT / "config/prometheus/alerts.yaml").read_text())["groups"][0]["rules"]
WORLDS = yaml.safe_load((ROOT / "tests/prometheus/alerts_test.yaml").read_text())["tests"]
DASHBOARD = json.loads((ROOT / "config/grafana/licensesync.json").read_text())
README = (ROOT / "README.md").read_text()
NAME = re.compile(r"\blicensesync_\w+")
ROWS = ["Are we in step?", "Licenses", "Runs and outcomes", "Inventory", "API", "Program"]


@cache
def shown() -> Metrics:
    """Metrics of a service that has one pool, has read it and has made a request."""
    metrics = Metrics()
    metrics.pools(["fota"])
    metrics.planned(Plan(FOTA, Capacity(total=100, assigned=40), ()))
    metrics.answered("FOTA assign", "ok", 0.1)
    return metrics


def names() -> set[str]:
    return set(exported(shown()))


def samples() -> dict[str, set[str]]:
    """The names that a query may use, each with its labels."""
    found: dict[str, set[str]] = {}
    for family in families(shown()):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


def queries_of_dashboard() -> list[str]:
    targets = [target["expr"] for panel in DASHBOARD["panels"] for target in panel.get("targets", ())]
    annotations = [each["expr"] for each in DASHBOARD["annotations"]["list"]]
    return [
        *targets,
        *annotations,
        *(each["definition"] for each in DASHBOARD["templating"]["list"] if "definition" in each),
    ]


def of_histogram(name: str) -> str:
    return re.sub(r"_bucket$", "", name)


def test_alerts_ask_only_for_what_is_exported() -> None:
    asked = {name for alert in ALERTS for name in NAME.findall(alert["expr"])}
    assert asked
    assert asked <= samples().keys()


def test_the_dashboard_shows_every_metric_and_no_other() -> None:
    asked = {name for query in queries_of_dashboard() for name in NAME.findall(query)}
    assert asked <= samples().keys()
    assert {of_histogram(name) for name in asked if not name.startswith(NOT_OURS)} == names()


def test_queries_choose_by_labels_that_their_metric_has() -> None:
    labels = samples()
    for query in [*queries_of_dashboard(), *(alert["expr"] for alert in ALERTS)]:
        for name, chosen in re.findall(r"\b(licensesync_\w+){([^}]*)}", query):
            assert set(re.findall(r"(\w+)\s*(?:=~|!=|!~|=)", chosen)) <= labels[name], query


def test_labels_that_panels_are_named_by_are_those_of_the_query() -> None:
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", ()):
            known = set().union(*(samples()[name] for name in NAME.findall(target["expr"])))
            assert set(re.findall(r"{{(\w+)}}", target["legendFormat"])) <= known, panel["title"]


def test_every_metric_is_documented_in_its_own_words() -> None:
    rows = dict(re.findall(r"^\| `(licensesync_\w+)(?:{.*})?` \| \w+ \| (.*) \|$", README, re.MULTILINE))
    assert rows == {name: family.documentation for name, family in exported(shown()).items()}


def test_documented_labels_are_the_metric_s() -> None:
    documented = {
        name: set(re.findall(r"\w+", labels))
        for name, labels in re.findall(r"^\| `(licensesync_\w+)((?:{.*})?)`", README, re.MULTILINE)
    }
    assert documented == {
        name: set().union(*(sample.labels for sample in family.samples)) - {"le"}
        for name, family in exported(shown()).items()
    }


@pytest.mark.parametrize("alert", ALERTS, ids=[alert["alert"] for alert in ALERTS])
def test_an_alert_says_how_bad_it_is_what_to_do_and_where_to_read_on(alert: dict[str, Any]) -> None:
    told = alert["annotations"]
    assert set(told) == {"summary", "description", "runbook"}
    assert alert["labels"]["severity"] in {"critical", "warning"}
    assert told["runbook"].removeprefix("README.md#") in set(_anchors())


def _anchors() -> Iterator[str]:
    """What GitHub and GitLab make of the README's headings."""
    for heading in re.findall(r"^#+ (.*)$", README, re.MULTILINE):
        yield re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def test_every_paragraph_of_the_runbook_belongs_to_an_alert() -> None:
    led_to = {alert["annotations"]["runbook"].removeprefix("README.md#") for alert in ALERTS}
    assert {anchor for anchor in _anchors() if anchor.startswith("runbook-")} == led_to


def test_every_alert_fires_in_one_world_and_is_silent_before_or_elsewhere() -> None:
    """`promtool test rules` proves that what stands there is true."""
    expected = [step for world in WORLDS for step in world["promql_expr_test"]]
    firing = {
        name
        for step in expected
        for sample in step["exp_samples"]
        for name in re.findall(r'alertname="(\w+)"', sample["labels"])
    }
    assert firing == {alert["alert"] for alert in ALERTS}
    used = {
        name for world in WORLDS for series in world["input_series"] or () for name in NAME.findall(series["series"])
    }
    assert used <= samples().keys()
    assert {name for alert in ALERTS for name in NAME.findall(alert["expr"])} <= used


def test_the_dashboard_has_its_rows_and_panels_that_do_not_overlap() -> None:
    assert DASHBOARD["schemaVersion"] >= 38
    assert [panel["title"] for panel in DASHBOARD["panels"] if panel["type"] == "row"] == ROWS
    assert [variable["name"] for variable in DASHBOARD["templating"]["list"]] == ["datasource", "pool"]
    cells = [cell for panel in DASHBOARD["panels"] for cell in _cells(**panel["gridPos"])]
    assert len(cells) == len(set(cells))
    assert all(0 <= x < 24 for x, _ in cells)
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    for panel in DASHBOARD["panels"]:
        if panel["type"] != "row":
            assert panel["datasource"]["uid"] == "${datasource}"


def _cells(x: int, y: int, w: int, h: int) -> list[tuple[int, int]]:
    return [(column, line) for column in range(x, x + w) for line in range(y, y + h)]


def test_every_refusal_and_every_exit_code_has_its_paragraph_in_the_runbook() -> None:
    runbook = README.partition("\n## Runbook\n")[2].partition("\n## ")[0]
    paragraphs = dict(re.findall(r"^### (Refusal: \w+|Exit code \d+)\n\n(.+)", runbook, re.MULTILINE))
    assert set(paragraphs) == {f"Refusal: {rule}" for rule in Rule} | {f"Exit code {code}" for code in ExitCode}
