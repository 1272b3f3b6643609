"""Metric families from plain values, in Prometheus' conventions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from orchestration.redaction import redact

LABEL_CHARS = 120
"""Longest value of a label: names of Flink's tasks can be whole expressions."""
Values = Mapping[tuple[str, ...], float | None]
"""Values of the labels, in their order, to a value; None is left out."""


def gauge(name: str, text: str, labels: Sequence[str], values: Values) -> Metric:
    """Return a gauge."""
    return _fill(GaugeMetricFamily(name, text, labels=labels), values)


def counter(name: str, text: str, labels: Sequence[str], values: Values) -> Metric:
    """Return a counter; its name on the page ends in `_total`."""
    return _fill(CounterMetricFamily(name, text, labels=labels), values)


def _fill(family: GaugeMetricFamily | CounterMetricFamily, values: Values) -> Metric:
    for key, value in sorted(values.items()):
        if value is not None:
            family.add_metric([label(part) for part in key], value)
    return family


@lru_cache(maxsize=20_000)
def label(text: str) -> str:
    """Return a label's value without secrets and of bounded length.

    Remembered, because most come again in each scrape and looking for secrets takes a tenth of a millisecond.
    """
    clean = redact(text)
    return clean if len(clean) <= LABEL_CHARS else clean[: LABEL_CHARS - 1] + "…"


def as_document(families: Sequence[Metric]) -> list[dict[str, Any]]:
    """Return families as JSON values; NaN and infinity, which JSON has not, become None."""
    return [
        {
            "name": family.name,
            "type": family.type,
            "help": family.documentation,
            "samples": [
                {"name": sample.name, "labels": dict(sample.labels), "value": _finite(sample.value)}
                for sample in family.samples
            ],
        }
        for family in families
    ]


def _finite(value: float) -> float | None:
    return value if value - value == 0 else None
