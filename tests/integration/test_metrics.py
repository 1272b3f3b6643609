"""The page of metrics of the real stack has every name that dashboards and alert rules use, with true values."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from orchestration.catalog import find_table, open_catalog
from orchestration.defs.history import History
from orchestration.errors import PortInUseError, StackError
from orchestration.flink.engine import open_engine
from orchestration.lakehouse.streams.definition import consumer_group, stream_name
from orchestration.lakehouse.streams.operate import deploy_stream
from orchestration.observability.page import Page
from orchestration.observability.server import serving
from orchestration.observability.sources import SOURCES, build_page
from orchestration.settings import Settings
from orchestration.waiting import Backoff, wait_for
from tests.contract.promql import used
from tests.integration.lake import Lake, closed_port, event, make_lake

pytestmark = pytest.mark.stack

SETTLED_S = 180.0
"""For some checkpoints on a busy machine."""
EMPTY_WHEN_WELL = frozenset(
    {
        "millrace_scrape_failure",
        # Nobody switched a sensor of this stack on; tests/unit/defs/test_history.py has them with samples.
        "millrace_dagster_instigator_running",
        "millrace_dagster_ticks_recent",
        "millrace_dagster_last_tick_timestamp_seconds",
        "millrace_dagster_daemon_heartbeat_timestamp_seconds",
        "millrace_dagster_daemon_errors",
        # Runs and checks are of other tests, if there are any before this one.
        "millrace_dagster_runs_total",
        "millrace_dagster_runs_active",
        "millrace_dagster_last_success_timestamp_seconds",
        "millrace_check_passed",
        "millrace_check_timestamp_seconds",
    }
)
GOOD, BAD = 100, 3


class Scrape:
    """One scrape, parsed as Prometheus would."""

    def __init__(self, text: str) -> None:
        self.families: list[Metric] = list(text_string_to_metric_families(text))
        self.names = {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE ")}

    def values(self, name: str, **labels: str) -> list[float]:
        """Return the samples with these labels."""
        return [
            sample.value
            for family in self.families
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        ]

    def value(self, name: str, **labels: str) -> float:
        """Return the sum of the samples with these labels; there is at least one."""
        found = self.values(name, **labels)
        assert found, f"no sample {name} {labels}"
        return sum(found)

    def labels(self, name: str) -> list[set[str]]:
        """Return the names of the labels of each sample."""
        return [set(one.labels) for family in self.families for one in family.samples if one.name == name]


@pytest.fixture
def lake(settings: Settings, tmp_path: Path) -> Iterator[Lake]:
    made = make_lake(settings, tmp_path, checkpoint_interval_ms=1000, sql_engine_namespace=f"m{tmp_path.name[-8:]}")
    try:
        yield made
    finally:
        with open_engine(made.settings) as engine:
            for record in engine.registry.active():
                engine.delete(record.id, force=True)
        if find_table(open_catalog(made.settings), made.contract.tables.bronze) is not None:
            made.drop()


def test_the_page_has_every_name_and_label_that_dashboards_and_alerts_use(lake: Lake) -> None:
    settings, contract = lake.settings, lake.contract
    lake.post([*(event(PULocationID=1 + n) for n in range(GOOD)), *[event(total_amount=-1)] * BAD])
    job = deploy_stream(settings, contract)
    page = build_page(settings, contract, History(settings).collect, timeout_s=60.0)
    with serving(page, "127.0.0.1", 0) as port, httpx.Client(trust_env=False, timeout=90.0) as client:

        def scrape() -> Scrape:
            answer = client.get(f"http://127.0.0.1:{port}/metrics")
            assert answer.status_code == 200
            return Scrape(answer.text)

        def settled() -> tuple[Scrape | None, object]:
            found = scrape()
            rows = found.value("millrace_layer_rows", dataset=contract.name, layer="bronze")
            waiting = found.value("millrace_events_waiting", dataset=contract.name)
            # Flink answers with metrics that are some seconds old.
            done = found.values("flink_jobmanager_job_numberOfCompletedCheckpoints", job_id=job.job_id)
            tasks = found.values("flink_taskmanager_job_task_numRecordsIn", job_id=job.job_id)
            is_there = rows == GOOD + BAD and waiting == 0 and sum(done) >= 1 and bool(tasks)
            seen = f"{rows} rows in bronze, {waiting} waiting, {done} checkpoints, {len(tasks)} subtasks"
            return (found if is_there else None), seen

        found = wait_for(settled, what="a settled page", timeout_s=SETTLED_S, backoff=Backoff(0.5, 1.0))

    asked = {series for one in used() for series in one.series}
    assert {series.name for series in asked} - found.names == set()
    empty = {series.name for series in asked if not found.labels(series.name)}
    assert empty <= EMPTY_WHEN_WELL
    unknown = {
        (series.name, label)
        for series in asked - {one for one in asked if one.name in empty}
        for label in series.labels
        if not any(label in labels for labels in found.labels(series.name))
    }
    assert unknown == set()
    assert {source: found.value("millrace_scrape_success", source=source) for source in SOURCES} == dict.fromkeys(
        SOURCES, 1.0
    )

    dataset, group, query = contract.name, consumer_group(contract.name), stream_name(contract.name)
    assert found.value("millrace_events_produced_total", dataset=dataset) == GOOD + BAD
    assert found.value("millrace_layer_rows", dataset=dataset, layer="silver") == GOOD
    assert found.value("millrace_rejected_rows", dataset=dataset, rule="total_not_positive") == BAD
    assert found.value("millrace_accounting_holds", dataset=dataset) == 2
    assert found.value("millrace_consumer_lag_records", group=group) == 0
    assert found.value("millrace_consumer_lag_seconds", group=group) == 0
    assert found.value("millrace_topic_end_offset", topic=contract.topic) == GOOD + BAD
    assert found.value("millrace_table_rows", table=contract.tables.bronze) == GOOD + BAD
    assert found.value("millrace_table_commits_total", table=contract.tables.bronze) >= 1
    assert found.value("sql_engine_job_restarts", query=query) == 0
    assert found.value("sql_engine_persistent_queries", state="RUNNING") == 1
    assert found.value("flink_jobmanager_numRunningJobs") >= 1


def test_a_source_that_is_down_takes_nothing_from_the_others(lake: Lake) -> None:
    nowhere = f"http://127.0.0.1:{closed_port()}"
    settings = lake.settings.with_changes(flink_rest_url=nowhere, flink_sql_gateway_url=nowhere)
    page = build_page(settings, lake.contract, list, timeout_s=60.0)
    families = {family.name: family for family in page.collect()}
    success = {one.labels["source"]: one.value for one in families["millrace_scrape_success"].samples}
    assert success == dict.fromkeys(("millrace", "broker", "tables", "accounting", "dagster"), 1.0) | dict.fromkeys(
        ("flink", "queries"), 0.0
    )
    codes = {one.labels["source"]: one.labels["code"] for one in families["millrace_scrape_failure"].samples}
    assert codes == {"flink": "cluster_unreachable", "queries": "cluster_unreachable"}
    assert families["millrace_layer_rows"].samples


def test_the_command_prints_the_page(environ: dict[str, str]) -> None:
    command = [sys.executable, "-m", "orchestration.cli.main", "metrics", "--json", "--without", "dagster"]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    values = {
        (sample["name"], sample["labels"].get("source")): sample["value"]
        for family in json.loads(done.stdout)
        for sample in family["samples"]
    }
    assert values["flink_jobmanager_numRegisteredTaskManagers", None] == 1
    answered = {source: value for (name, source), value in values.items() if name == "millrace_scrape_success"}
    assert answered == dict.fromkeys({"millrace", *SOURCES} - {"dagster"}, 1.0)


def test_a_port_that_is_taken_and_a_foreign_address_are_named() -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen()
        port = held.getsockname()[1]
        with pytest.raises(PortInUseError, match=str(port)), serving(Page([]), "127.0.0.1", port):
            pass
    with pytest.raises(StackError, match=r"192\.0\.2\.1"), serving(Page([]), "192.0.2.1", 0):
        pass
