"""Families as plain values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from prometheus_client.metrics_core import Metric

Values = Mapping[tuple[str, ...], float]


def by_name(families: Iterable[Metric]) -> dict[str, dict[tuple[str, ...], float]]:
    """Return name of a sample to the values of its labels, in their order, to its value."""
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in families:
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sample.labels.values())] = sample.value
    return found
