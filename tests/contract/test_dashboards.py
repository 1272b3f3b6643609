"""Dashboards, alert rules and what provisions them: whole, readable, and about metrics that Millrace has."""

from __future__ import annotations

import re
import zipfile
from collections import Counter
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml

from orchestration.cli.commands import ENTRIES
from orchestration.observability.flink import JOB, JOBMANAGER, TASK, TASKMANAGER
from orchestration.observability.server import DEFAULT_PORT
from orchestration.observability.sources import SOURCES, TIMEOUT_S
from tests.contract.checkout import ROOT
from tests.contract.promql import Used, dashboards, panels, rules, used

ALL = used()
PANELS = {
    f"{file}: {panel['title']} ({panel['type']})": panel
    for file, board in dashboards().items()
    for panel in panels(board)
}
COMMAND = re.compile(r"`millrace (\w+)")


def load(path: str) -> Any:
    return yaml.safe_load((ROOT / "platform" / path).read_text(encoding="utf-8"))


@pytest.mark.parametrize("one", ALL, ids=lambda one: one.place)
def test_every_expression_parses_and_asks_for_something(one: Used) -> None:
    promql_parser.parse(one.expr)
    assert one.series or "ALERTS" in one.expr or "up{" in one.expr


def test_there_are_dashboards_and_rules() -> None:
    assert set(dashboards()) == {"overview.json", "flink.json", "data.json", "dagster.json"}
    assert len(rules()) > 25


def test_uids_and_panel_ids_are_unique() -> None:
    uids = Counter(board["uid"] for board in dashboards().values())
    assert [uid for uid, count in uids.items() if count > 1] == []
    for file, board in dashboards().items():
        ids = Counter(panel["id"] for panel in board["panels"])
        assert [(file, panel) for panel, count in ids.items() if count > 1] == []


@pytest.mark.parametrize("panel", PANELS.values(), ids=list(PANELS))
def test_every_panel_has_a_title_a_description_a_unit_and_the_provisioned_datasource(panel: dict[str, Any]) -> None:
    [source] = load("grafana/provisioning/datasources/prometheus.yml")["datasources"]
    assert panel["title"]
    assert len(panel["description"]) > 10
    assert panel["fieldConfig"]["defaults"]["unit"]
    for target in (panel, *panel["targets"]):
        assert target["datasource"] == {"type": source["type"], "uid": source["uid"]}


def test_panels_do_not_lie_on_each_other() -> None:
    for file, board in dashboards().items():
        places = [
            (x, y)
            for panel in board["panels"]
            for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
            for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
        ]
        assert len(places) == len(set(places)), file
        assert max(x for x, _ in places) < 24


# Title of the panel, its expressions, and its thresholds (colour from value).
WANTED = (
    ("Running jobs", ["flink_jobmanager_numRunningJobs"], [("red", None), ("green", 1)]),
    (
        "Last checkpoint duration",
        ["flink_jobmanager_job_lastCheckpointDuration"],
        [("green", None), ("yellow", 5000), ("red", 30000)],
    ),
    ("Failed checkpoints", ["flink_jobmanager_job_numberOfFailedCheckpoints"], [("green", None), ("red", 1)]),
    ("TaskManagers", ["flink_jobmanager_numRegisteredTaskManagers"], [("red", None), ("green", 1)]),
    ("Records in a second", ["flink_taskmanager_job_task_numRecordsInPerSecond"], None),
    ("Records out a second", ["flink_taskmanager_job_task_numRecordsOutPerSecond"], None),
    (
        "JVM heap",
        [
            "flink_jobmanager_Status_JVM_Memory_Heap_Used",
            "flink_jobmanager_Status_JVM_Memory_Heap_Max",
            "flink_taskmanager_Status_JVM_Memory_Heap_Used",
            "flink_taskmanager_Status_JVM_Memory_Heap_Max",
        ],
        [("green", None), ("yellow", 70), ("red", 90)],
    ),
    ("Checkpoint duration", ["flink_jobmanager_job_lastCheckpointDuration"], None),
    ("Checkpoint size", ["flink_jobmanager_job_lastCheckpointSize"], None),
    ("Task slots", ["flink_jobmanager_taskSlotsTotal", "flink_jobmanager_taskSlotsAvailable"], None),
)


@pytest.mark.parametrize(("title", "names", "thresholds"), WANTED, ids=[row[0] for row in WANTED])
def test_the_dashboard_of_flink_has_what_an_operator_looks_for(
    title: str, names: list[str], thresholds: list[tuple[str, int | None]] | None
) -> None:
    [panel] = [panel for panel in panels(dashboards()["flink.json"]) if panel["title"] == title]
    series = {one.name for target in panel["targets"] for one in Used("", target["expr"]).series}
    assert set(names) <= series
    if thresholds is not None:
        steps = panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
        assert [(step["color"], step["value"]) for step in steps] == thresholds


def test_every_flink_metric_that_is_asked_for_is_collected() -> None:
    known = {
        prefix + name.replace(".", "_")
        for prefix, names in (
            ("flink_jobmanager_", JOBMANAGER),
            ("flink_taskmanager_", TASKMANAGER),
            ("flink_jobmanager_job_", JOB),
            ("flink_taskmanager_job_task_", TASK),
        )
        for name in names
    }
    asked = {series.name for one in ALL for series in one.series if series.name.startswith("flink_")}
    assert asked - known == set()


@pytest.mark.parametrize(("file", "rule"), rules(), ids=[rule["alert"] for _, rule in rules()])
def test_every_alert_says_how_bad_it_is_and_what_to_do(file: str, rule: dict[str, Any]) -> None:
    assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
    assert rule["labels"]["severity"] in {"info", "warning", "critical"}
    assert set(rule["annotations"]) == {"summary", "description"}
    commands = COMMAND.findall(rule["annotations"]["description"])
    assert {*commands} <= {entry.name for entry in ENTRIES}
    assert commands or rule["labels"]["severity"] == "info"


def test_names_of_alerts_are_unique_and_documented() -> None:
    names = Counter(rule["alert"] for _, rule in rules())
    assert [name for name, count in names.items() if count > 1] == []
    text = (ROOT / "docs/observability.md").read_text(encoding="utf-8")
    assert [name for name in names if f"| `{name}` |" not in text] == []


def test_every_panel_is_documented() -> None:
    text = (ROOT / "docs/observability.md").read_text(encoding="utf-8")
    titles = {panel["title"] for board in dashboards().values() for panel in panels(board)}
    assert [title for title in sorted(titles) if title not in text] == []


def test_prometheus_scrapes_the_page_with_time_for_its_slowest_source() -> None:
    config = load("prometheus/prometheus.yml")
    assert config["global"]["scrape_interval"] == "15s"
    assert int(config["global"]["scrape_timeout"].removesuffix("s")) > TIMEOUT_S
    assert config["rule_files"] == ["rules/*.yml"]
    assert [job["job_name"] for job in config["scrape_configs"]] == ["prometheus", "millrace"]
    assert load("prometheus/targets/local.yml") == [{"targets": [f"127.0.0.1:{DEFAULT_PORT}"]}]


def test_grafana_provisions_the_dashboards_with_the_overview_as_home() -> None:
    [provider] = load("grafana/provisioning/dashboards/millrace.yml")["providers"]
    ini = (ROOT / "platform/grafana/grafana.ini").read_text(encoding="utf-8")
    assert f"default_home_dashboard_path = {provider['options']['path']}/overview.json" in ini
    assert provider["allowUiUpdates"] is True
    for board in dashboards().values():
        assert (board["refresh"], board["time"]["from"]) == ("15s", "now-1h")


def test_sources_that_alerts_name_exist() -> None:
    named = {name for one in ALL for name in re.findall(r'millrace_scrape_success\{source="(\w+)"\}', one.expr)}
    assert named
    assert named <= set(SOURCES)


def test_the_reporter_for_containers_is_one_that_flinks_package_brings() -> None:
    lines = load("flink/reporter.yaml")
    [name] = lines["metrics.reporters"].split(",")
    spec = find_spec("pyflink")
    assert spec is not None
    [jar] = Path((spec.submodule_search_locations or [""])[0]).glob("plugins/metrics-prometheus/*.jar")
    with zipfile.ZipFile(jar) as archive:
        services = archive.read("META-INF/services/org.apache.flink.metrics.reporter.MetricReporterFactory").decode()
    assert lines[f"metrics.reporter.{name}.factory.class"] in services.split()
