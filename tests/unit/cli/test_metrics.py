"""`millrace metrics` on a page that asks nobody."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from orchestration.cli import metrics
from orchestration.observability.families import gauge
from orchestration.observability.page import Page, Source

RUNNER = CliRunner()


def page() -> Page:
    return Page([Source("one", lambda: [gauge("one_value", "A value", (), {(): 1.0})])])


@pytest.fixture(autouse=True)
def nobody_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "open_page", lambda *_, **__: page())


def test_it_prints_the_page_as_prometheus_reads_it() -> None:
    done = RUNNER.invoke(metrics.app, [])
    assert done.exit_code == 0, done.output
    assert "# TYPE one_value gauge\none_value 1.0\n" in done.stdout
    assert 'millrace_scrape_success{source="one"} 1.0' in done.stdout


def test_it_prints_one_json_document() -> None:
    done = RUNNER.invoke(metrics.app, ["--json"])
    names = [family["name"] for family in json.loads(done.stdout)]
    assert names == [
        "one_value",
        "millrace_scrape_success",
        "millrace_scrape_duration_seconds",
        "millrace_scrape_failure",
    ]


def test_an_unknown_source_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    done = RUNNER.invoke(metrics.app, ["--without", "weather"])
    assert done.exit_code == 2
    assert "weather" in done.output
