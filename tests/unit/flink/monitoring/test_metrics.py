"""The engine's metrics as Prometheus reads them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from prometheus_client.parser import text_string_to_metric_families

from orchestration.errors import UnreachableError
from orchestration.flink.client.models import Checkpoint, CheckpointCounts, Checkpoints, LatestCheckpoints, Vertex
from orchestration.flink.monitoring.health import Reading
from orchestration.flink.monitoring.metrics import ClusterFigures, EngineMetrics

NOW = datetime(2024, 1, 5, 12, 0, tzinfo=UTC)

JOB = Reading(
    at=NOW,
    state="RUNNING",
    running_since=NOW - timedelta(seconds=60),
    restarts=2,
    checkpoint_interval_s=10,
    checkpoints=Checkpoints(
        counts=CheckpointCounts(failed=3),
        latest=LatestCheckpoints(completed=Checkpoint(id=1, trigger_time=NOW - timedelta(seconds=4))),
    ),
    vertices=(
        Vertex.model_validate(
            {
                "id": "v",
                "name": "Source",
                "status": "RUNNING",
                "metrics": {
                    "read-records": 5,
                    "write-records": 7,
                    "accumulated-busy-time": 1500.0,
                    "accumulated-idle-time": 500,
                    "accumulated-backpressured-time": 250,
                },
            }
        ),
    ),
)


def samples(metrics: EngineMetrics) -> dict[tuple[str, ...], float]:
    """Return (name, label values…) to value, labels in order of their names; without buckets and creation times."""
    found: dict[tuple[str, ...], float] = {}
    for family in text_string_to_metric_families(metrics.text().decode()):
        for sample in family.samples:
            if not sample.name.endswith(("_bucket", "_created")):
                found[(sample.name, *(value for _, value in sorted(sample.labels.items())))] = sample.value
    return found


def test_what_the_engine_did_is_counted() -> None:
    metrics = EngineMetrics()
    metrics.statement("query", "ok")
    metrics.statement("query", "ok")
    metrics.statement("ddl", "error", "sql_parse_error")
    metrics.phase("ready", 0.25)
    metrics.phase("ready", 0.5)
    metrics.rows(40)
    metrics.rows(2)
    metrics.replay()
    assert samples(metrics) == {
        ("sql_engine_statements_total", "query", "", "ok"): 2,
        ("sql_engine_statements_total", "ddl", "sql_parse_error", "error"): 1,
        ("sql_engine_statement_seconds_count", "ready"): 2,
        ("sql_engine_statement_seconds_sum", "ready"): 0.75,
        ("sql_engine_rows_total",): 42,
        ("sql_engine_session_replays_total",): 1,
    }


def test_retries_are_counted_by_endpoint_and_never_by_id() -> None:
    metrics = EngineMetrics()
    job, handle = "0af3" * 8, "43adeabc-d62c-4bb4-aa73-5a752581de21"
    for path in (
        f"/jobs/{job}",
        f"/jobs/{'b' * 32}",
        f"/v2/sessions/{handle}/operations/{handle}/result/17?rowFormat=JSON",
        "/v1/sessions",
    ):
        metrics.http_retry(path)
    retries = {key[1]: value for key, value in samples(metrics).items() if key[0] == "sql_engine_http_retries_total"}
    assert retries == {"/jobs/{id}": 2, "/v2/sessions/{id}/operations/{id}/result/{id}": 1, "/v1/sessions": 1}


def test_two_engines_do_not_share_a_registry() -> None:
    first, second = EngineMetrics(), EngineMetrics()
    first.rows(1)
    assert samples(second)[("sql_engine_rows_total",)] == 0


def test_sessions_and_cluster_are_asked_at_each_scrape_and_not_before() -> None:
    asked: list[str] = []
    metrics = EngineMetrics()

    def cluster() -> ClusterFigures:
        asked.append("cluster")
        return ClusterFigures(
            16, 12, {"RUNNING": 1, "FAILED": 2}, {"revenue": JOB, "over": replace(JOB, state="FAILED")}
        )

    metrics.watch_sessions(lambda: {("streaming", "idle"): 1, ("batch", "busy"): 2})
    metrics.watch_cluster(cluster)
    assert asked == []
    found = samples(metrics)
    assert asked == ["cluster"]
    wanted = {
        ("sql_engine_sessions", "streaming", "idle"): 1,
        ("sql_engine_sessions", "batch", "busy"): 2,
        ("sql_engine_cluster_up",): 1,
        ("sql_engine_slots", "free"): 12,
        ("sql_engine_slots", "used"): 4,
        ("sql_engine_persistent_queries", "RUNNING"): 1,
        ("sql_engine_persistent_queries", "FAILED"): 2,
        ("sql_engine_job_restarts", "revenue"): 2,
        ("sql_engine_job_checkpoint_age_seconds", "revenue"): 4,
        ("sql_engine_job_failed_checkpoints", "revenue"): 3,
        ("sql_engine_job_uptime_seconds", "revenue"): 60,
        ("sql_engine_job_read_records", "revenue"): 5,
        ("sql_engine_job_write_records", "revenue"): 7,
        ("sql_engine_job_task_seconds", "busy", "revenue"): 1.5,
        ("sql_engine_job_task_seconds", "idle", "revenue"): 0.5,
        ("sql_engine_job_task_seconds", "backpressured", "revenue"): 0.25,
    }
    assert {key: found.get(key) for key in wanted} == wanted
    assert ("sql_engine_job_uptime_seconds", "over") not in found


def test_a_cluster_that_is_down_takes_only_its_own_numbers_from_the_scrape() -> None:
    def down() -> ClusterFigures:
        raise UnreachableError("the Flink JobManager does not answer")

    metrics = EngineMetrics()
    metrics.watch_cluster(down)
    metrics.rows(3)
    found = samples(metrics)
    assert found[("sql_engine_cluster_up",)] == 0
    assert found[("sql_engine_rows_total",)] == 3
    assert not [key for key in found if key[0].startswith("sql_engine_job_")]
