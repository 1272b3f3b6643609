"""Names, labels and values as Prometheus and JSON want them."""

from __future__ import annotations

import math

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.registry import Collector

from orchestration.observability.families import LABEL_CHARS, as_document, counter, gauge
from orchestration.redaction import MASK
from tests.unit.observability.samples import by_name


def test_a_counter_ends_in_total_and_a_gauge_does_not() -> None:
    values = {("a",): 2.0}
    assert by_name([counter("x", "text", ("l",), values)]) == {"x_total": {("a",): 2.0}}
    assert by_name([gauge("x", "text", ("l",), values)]) == {"x": {("a",): 2.0}}


def test_an_unknown_value_is_left_out_and_the_name_stays_on_the_page() -> None:
    class One(Collector):
        def collect(self):
            return [gauge("x", "What x is", ("l",), {("a",): None})]

    registry = CollectorRegistry()
    registry.register(One())
    assert generate_latest(registry).decode() == "# HELP x What x is\n# TYPE x gauge\n"


def test_a_label_holds_no_secret_and_is_bounded() -> None:
    task = "Calc(select=[a], where=['password' = 'hunter22'])" + "x" * 500
    [label] = next(iter(by_name([gauge("x", "text", ("task",), {(task,): 1.0})])["x"]))
    assert "hunter22" not in label
    assert MASK in label
    assert len(label) == LABEL_CHARS


def test_json_has_no_nan() -> None:
    document = as_document([gauge("x", "text", ("l",), {("a",): math.nan, ("b",): math.inf, ("c",): 1.5})])
    assert [sample["value"] for sample in document[0]["samples"]] == [None, None, 1.5]
    assert document[0] | {"samples": []} == {"name": "x", "type": "gauge", "help": "text", "samples": []}
