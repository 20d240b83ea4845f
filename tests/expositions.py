"""What the daemon's metrics say, as Prometheus's own parsers read it."""

from __future__ import annotations

from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from licensesync.daemon.metrics import Metrics

NOT_OURS = "licensesync_process_"
"""What the Prometheus client itself tells of any process."""


def families(metrics: Metrics) -> list[Metric]:
    return list(text_string_to_metric_families(metrics.render()[0].decode()))


def series(metrics: Metrics) -> dict[str, float]:
    """Each series as it is written, such as `licenses{pool="fota",state="free"}`: labels in order, no prefix."""
    samples = (sample for family in families(metrics) for sample in family.samples)
    return {_written(sample.name, sample.labels): sample.value for sample in samples}


def of(metrics: Metrics, name: str, label: str, **labels: str) -> dict[str, float]:
    """The series of a metric that have these labels, by the value of another one."""
    samples = (sample for family in families(metrics) for sample in family.samples)
    return {
        sample.labels[label]: sample.value
        for sample in samples
        if sample.name == f"licensesync_{name}" and labels.items() <= sample.labels.items()
    }


def _written(name: str, labels: dict[str, str]) -> str:
    listed = ",".join(f'{label}="{value}"' for label, value in sorted(labels.items()))
    return f"{name.removeprefix('licensesync_')}{{{listed}}}" if listed else name.removeprefix("licensesync_")


def exported(metrics: Metrics) -> dict[str, Metric]:
    """Our metrics by the names that people write in queries; a histogram has one name here."""
    ours = (family for family in families(metrics) if not family.name.startswith(NOT_OURS))
    return {f"{each.name}_total" if each.type == "counter" else each.name: each for each in ours}
