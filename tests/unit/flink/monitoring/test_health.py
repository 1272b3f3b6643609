"""The verdict on a job: one row a reason, and how the cluster's answers become a reading."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from orchestration.flink.client.models import Checkpoint, CheckpointCounts, Checkpoints, LatestCheckpoints, Vertex
from orchestration.flink.monitoring.health import Health, Level, Load, Reading, Reason, judge, read_job
from tests.unit.flink.fakes import FakeFlink

NOW = datetime(2024, 1, 5, 12, 0, tzinfo=UTC)
TRACE = "org.apache.flink.runtime.JobException: Recovery\nCaused by: java.lang.NumberFormatException: For input: 'x'"


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


def vertex(name: str = "Source: t[1]", status: str = "RUNNING", *, held_ms: float = 0, parallelism: int = 1) -> Vertex:
    metrics = {"accumulated-backpressured-time": held_ms, "accumulated-busy-time": "NaN"}
    return Vertex.model_validate(
        {"id": name, "name": name, "status": status, "parallelism": parallelism, "metrics": metrics}
    )


def checkpoints(completed: tuple[int, float] | None, failed: tuple[int, str] | None = None) -> Checkpoints:
    """Return checkpoints: (id, age in seconds) of the last completed one, (id, failure) of the last failed one."""
    done = Checkpoint(id=completed[0], trigger_time=ago(completed[1])) if completed else None
    bad = Checkpoint(id=failed[0], failure=failed[1], trigger_time=ago(1)) if failed else None
    counts = CheckpointCounts(completed=1 if completed else 0, failed=2 if failed else 0)
    return Checkpoints(counts=counts, latest=LatestCheckpoints(completed=done, failed=bad))


RUNNING = Reading(
    at=NOW,
    state="RUNNING",
    started_at=ago(3600),
    running_since=ago(3600),
    checkpoint_interval_s=10,
    checkpoints=checkpoints((7, 9.0)),
    vertices=(vertex(),),
)


def test_a_running_job_with_a_fresh_checkpoint_is_healthy() -> None:
    health = judge(RUNNING, Load(ago(600), {"Source: t[1]": 0.0}))
    assert (health.level, health.text) == (Level.HEALTHY, "no trouble found")


@pytest.mark.parametrize(
    ("changes", "code", "level", "text"),
    [
        pytest.param(
            {"state": "FAILED", "cause": "no room", "failures": (ago(1),) * 9},
            "job_failed",
            "unhealthy",
            "the job failed: no room",
            id="failed",
        ),
        pytest.param({"state": "LOST"}, "job_lost", "unhealthy", "the cluster no longer knows the job", id="lost"),
        pytest.param({"state": "CANCELED"}, "job_canceled", "unhealthy", "somebody canceled the job", id="canceled"),
        pytest.param({"state": "CANCELLING"}, "job_canceled", "unhealthy", "somebody canceled the job", id="canceling"),
        pytest.param(
            {"state": "RESTARTING", "cause": "no room"},
            "job_restarting",
            "degraded",
            "the job recovers from a failure: no room",
            id="restarting",
        ),
        pytest.param(
            {"state": "FAILING"}, "job_restarting", "degraded", "the job recovers from a failure", id="failing"
        ),
        pytest.param(
            {"state": "CREATED", "started_at": ago(121)},
            "job_start_timeout",
            "degraded",
            "the job is CREATED for 121 s",
            id="never starts",
        ),
        pytest.param(
            {"state": "PONDERING"},
            "job_state_unknown",
            "degraded",
            "the job is in state PONDERING, unknown to Millrace",
            id="a state of a newer Flink",
        ),
        pytest.param(
            {"failures": (ago(1), ago(100), ago(599), ago(599)), "cause": "no room"},
            "restarts",
            "unhealthy",
            "4 failures within 10 min, the last one: no room",
            id="restarts all the time",
        ),
        pytest.param(
            {"checkpoints": checkpoints((7, 31.0))},
            "checkpoint_age",
            "degraded",
            "the last checkpoint is 31 s old, they are due every 10 s",
            id="old checkpoint",
        ),
        pytest.param(
            {"checkpoints": checkpoints((7, 181.0)), "checkpoint_interval_s": 60},
            "checkpoint_age",
            "degraded",
            "the last checkpoint is 181 s old, they are due every 60 s",
            id="old checkpoint of a long interval",
        ),
        pytest.param(
            {"checkpoints": checkpoints(None), "running_since": ago(31)},
            "checkpoint_age",
            "degraded",
            "the last checkpoint is 31 s old, they are due every 10 s",
            id="no checkpoint since the start",
        ),
        pytest.param(
            {"checkpoints": checkpoints((7, 300.0))},
            "checkpoint_age",
            "degraded",
            "the last checkpoint is 300 s old, they are due every 10 s",
            id="a checkpoint that may still come",
        ),
        pytest.param(
            {"checkpoints": checkpoints((7, 301.0)), "running_since": ago(3600)},
            "checkpoints_stopped",
            "unhealthy",
            "the last checkpoint is 301 s old, they are due every 10 s",
            id="checkpoints stopped",
        ),
        pytest.param(
            {"checkpoints": checkpoints((7, 9.0), (8, "Checkpoint expired"))},
            "checkpoint_failed",
            "degraded",
            "checkpoint 8 failed: Checkpoint expired (2 failed in all)",
            id="the newest checkpoint failed",
        ),
        pytest.param(
            {"vertices": (vertex(), vertex("Sink", "SCHEDULED"))},
            "tasks_not_running",
            "degraded",
            "1 of 2 vertices do not run since 3600 s",
            id="waits for slots",
        ),
    ],
)
def test_each_trouble_is_named_with_its_numbers(changes: dict[str, Any], code: str, level: str, text: str) -> None:
    health = judge(replace(RUNNING, **changes))
    assert health == Health((Reason(code, Level(level), text),))
    assert (health.level, health.text) == (level, text)


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"state": "FINISHED", "checkpoints": checkpoints((7, 900.0))}, id="finished long ago"),
        pytest.param({"state": "INITIALIZING", "started_at": ago(120)}, id="starts"),
        pytest.param({"failures": (ago(1), ago(2), ago(3), ago(600))}, id="as many restarts as are borne"),
        pytest.param({"checkpoints": checkpoints((7, 30.0))}, id="checkpoint exactly at its limit"),
        pytest.param({"checkpoints": checkpoints((7, 30.0)), "checkpoint_interval_s": 1}, id="one that is slow"),
        pytest.param(
            {"checkpoints": checkpoints((7, 300.0)), "running_since": ago(20)}, id="the outage made it old, not the job"
        ),
        pytest.param({"checkpoints": checkpoints((9, 1.0), (8, "expired"))}, id="a later checkpoint succeeded"),
        pytest.param({"checkpoint_interval_s": None, "checkpoints": Checkpoints()}, id="makes no checkpoints"),
        pytest.param(
            {"vertices": (vertex(status="CREATED"),), "running_since": ago(5), "checkpoints": checkpoints(None)},
            id="tasks come up",
        ),
    ],
)
def test_what_is_usual_is_no_trouble(changes: dict[str, Any]) -> None:
    assert judge(replace(RUNNING, **changes)) == Health()


def test_the_worst_reason_gives_the_level_and_all_are_told() -> None:
    health = judge(
        replace(RUNNING, state="RESTARTING", cause="no room", failures=(ago(1),) * 4, vertices=(vertex(status="X"),))
    )
    assert [reason.code for reason in health.reasons] == ["job_restarting", "restarts"]
    assert health.level == "unhealthy"


def held(ms: float, since_s: float, before_ms: float = 0) -> Health:
    reading = replace(RUNNING, vertices=(vertex(), vertex("Join", held_ms=ms, parallelism=2)))
    return judge(reading, Load(ago(since_s), {"Source: t[1]": 0.0, "Join": before_ms / 2}))


@pytest.mark.parametrize(
    ("ms", "since_s", "before_ms", "is_reported"),
    [
        pytest.param(2 * 245_000, 300, 0, True, id="82 % of both subtasks"),
        pytest.param(2 * 240_000, 300, 0, False, id="80 % is borne"),
        pytest.param(2 * 299_000, 299, 0, False, id="not yet five minutes"),
        pytest.param(2 * 245_000, 300, 2 * 240_000, False, id="long ago"),
        pytest.param(0, 300, 2 * 240_000, False, id="counts anew after a restart"),
    ],
)
def test_backpressure_is_the_mean_share_of_at_least_five_minutes(
    ms: float, since_s: float, before_ms: float, is_reported: bool
) -> None:
    health = held(ms, since_s, before_ms)
    expected = "Join was back-pressured 82% of the last 5 min" if is_reported else "no trouble found"
    assert health.text == expected


def test_backpressure_needs_an_earlier_reading() -> None:
    assert judge(replace(RUNNING, vertices=(vertex(held_ms=9e9),))) == Health()


# --- reading ----------------------------------------------------------------------------------------------------------


def answers(flink: FakeFlink, job_id: str, **bodies: object) -> None:
    for path, body in bodies.items():
        flink.overrides[f"GET /jobs/{job_id}/{path.replace('__', '/')}"] = lambda _, body=body: httpx.Response(
            200, json=body
        )


def test_a_reading_holds_restarts_failures_checkpoints_and_uptime(flink: FakeFlink) -> None:
    job_id = flink.add_job("a" * 32, "q", "RUNNING").id
    millis = int(ago(40).timestamp() * 1000)
    answers(
        flink,
        job_id,
        exceptions={"exceptionHistory": {"entries": [{"stacktrace": TRACE, "timestamp": millis}]}},
        metrics=[{"id": "numRestarts", "value": "2"}],
        checkpoints__config={"interval": 10_000},
        checkpoints={
            "counts": {"completed": 3, "failed": 1},
            "latest": {"completed": {"id": 3, "trigger_timestamp": millis + 32_000}},
        },
    )
    detail = {"jid": job_id, "name": "q", "state": "RUNNING", "timestamps": {"RUNNING": millis + 10_000, "FAILED": 0}}
    flink.overrides[f"GET /jobs/{job_id}"] = lambda _: httpx.Response(200, json=detail)
    flink.overrides = dict(sorted(flink.overrides.items(), key=lambda item: -len(item[0])))

    reading = read_job(flink.rest(), job_id, NOW)

    assert (reading.state, reading.restarts, reading.failures) == ("RUNNING", 2, (ago(40),))
    assert reading.cause == "NumberFormatException: For input: 'x'"
    assert (reading.checkpoint_age_s, reading.failed_checkpoints, reading.uptime_s) == (8.0, 1, 30.0)


def test_a_job_without_checkpoints_is_read_as_such(flink: FakeFlink) -> None:
    job_id = flink.add_job("a" * 32, "q", "FINISHED").id
    flink.overrides[f"GET /jobs/{job_id}/metrics"] = lambda _: httpx.Response(200, json=[])
    flink.overrides[f"GET /jobs/{job_id}/checkpoints"] = lambda _: httpx.Response(404, json={"errors": ["not enabled"]})
    reading = read_job(flink.rest(), job_id, NOW)
    assert (reading.state, reading.restarts, reading.checkpoint_interval_s) == ("FINISHED", 0, None)
    assert reading.spent_ms == {"backpressured": 0, "busy": 0, "idle": 0}
    assert (reading.read_records, reading.write_records, reading.uptime_s) == (9, 7, None)


def test_a_job_that_the_cluster_does_not_know_is_lost(flink: FakeFlink) -> None:
    assert read_job(flink.rest(), "b" * 32, NOW) == Reading(NOW, "LOST")
