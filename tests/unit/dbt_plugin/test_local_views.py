"""Which local views a part of the project needs before it is built."""

from __future__ import annotations

from typing import Any

import pytest

from orchestration.dbt_plugin.local_views import views_for


def node(kind: str, name: str, materialized: str, *parents: str) -> dict[str, Any]:
    return {
        "name": name,
        "resource_type": kind,
        "config": {"materialized": materialized},
        "depends_on": {"nodes": list(parents)},
    }


MANIFEST = {
    "nodes": {
        "model.stg": node("model", "stg", "view", "source.silver"),
        "model.inlined": node("model", "inlined", "ephemeral", "model.stg"),
        "model.other": node("model", "other", "view", "source.silver"),
        "model.fct": node("model", "fct", "incremental", "model.inlined"),
        "model.mart": node("model", "mart", "table", "model.fct"),
        "test.fct": node("test", "unique_fct", "test", "model.fct"),
        "test.both": node("test", "relationships_mart", "test", "model.mart", "model.other"),
        "test.source": node("test", "not_empty", "test", "source.silver"),
    }
}


@pytest.mark.parametrize(
    ("args", "views"),
    [
        pytest.param(["build"], [], id="a-whole-build-makes-them"),
        pytest.param(["build", "--exclude-resource-type", "unit_test"], [], id="without-unit-tests-too"),
        pytest.param(["build", "--exclude", "not_empty"], [], id="excluding-a-test-keeps-the-views"),
        pytest.param(["build", "--exclude", "stg"], ["other", "stg"], id="excluding-a-view-does-not"),
        pytest.param(["run", "--select", "fct"], ["stg"], id="above-a-table-also-through-ephemeral-models"),
        pytest.param(["run", "-s", "mart"], ["other"], id="not-above-the-tables-it-reads"),
        pytest.param(["test", "--select", "unique_fct"], [], id="a-test-of-a-table"),
        pytest.param(["test", "--select", "not_empty"], [], id="a-test-of-a-source"),
        pytest.param(["test", "--select=relationships_mart"], ["other"], id="a-test-that-reads-a-view"),
        pytest.param(["test", "--select", "other"], ["other"], id="the-tests-of-a-view"),
        pytest.param(["test"], ["other"], id="all-tests"),
        pytest.param(["run", "--select", "+mart"], ["other", "stg"], id="a-selection-with-operators-gets-all"),
        pytest.param(["build", "--resource-type", "model"], ["other", "stg"], id="kinds-of-nodes"),
        pytest.param(["parse"], [], id="commands-that-read-no-table"),
    ],
)
def test_views_that_a_command_needs(args: list[str], views: list[str]) -> None:
    assert views_for(args, MANIFEST) == views
