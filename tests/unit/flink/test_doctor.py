"""What the doctor of the SQL engine decides, and what it does when services are down."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from orchestration.flink.client.connection import RetryPolicy
from orchestration.flink.diagnosis import (
    judge_api,
    judge_clock,
    judge_connectors,
    judge_savepoint_dir,
    judge_slots,
    judge_versions,
    local_path,
)
from orchestration.flink.doctor import diagnose
from orchestration.flink.engine import open_engine
from orchestration.settings import load_settings

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("gateway", "cluster", "level"),
    [
        pytest.param("2.1.3", "2.1.3", "PASS", id="tested"),
        pytest.param("2.1.0", "2.1.3", "PASS", id="patch releases go together"),
        pytest.param("2.2.0", "2.2.0", "WARN", id="untested"),
        pytest.param("2.1.3", "2.0.1", "FAIL", id="mixed"),
    ],
)
def test_gateway_and_cluster_are_of_one_version(gateway: str, cluster: str, level: str) -> None:
    assert judge_versions(gateway, cluster).level == level


def test_the_api_must_know_the_calls_that_are_made() -> None:
    assert judge_api(["V2", "V1"]).level == "PASS"
    assert judge_api(["V1"]).level == "FAIL"
    assert judge_api([]).level == "FAIL"


@pytest.mark.parametrize(
    ("free", "total", "level"),
    [
        pytest.param(1, 4, "PASS", id="free"),
        pytest.param(0, 4, "WARN", id="all taken"),
        pytest.param(0, 0, "FAIL", id="none at all"),
    ],
)
def test_a_query_needs_a_slot(free: int, total: int, level: str) -> None:
    assert judge_slots(free, total, 1).level == level


@pytest.mark.parametrize(
    ("offset_s", "level", "text"),
    [
        pytest.param(0.5, "PASS", "agrees", id="between the two looks"),
        pytest.param(5.5, "PASS", "agrees", id="a little ahead"),
        pytest.param(60.0, "WARN", "59.0 s ahead", id="ahead"),
        pytest.param(-60.0, "WARN", "60.0 s behind", id="behind"),
    ],
)
def test_the_time_that_a_look_takes_is_no_skew(offset_s: float, level: str, text: str) -> None:
    found = judge_clock(NOW, NOW + timedelta(seconds=offset_s), NOW + timedelta(seconds=1))
    assert (found.level, text in found.message) == (level, True)


def test_each_missing_connector_is_named() -> None:
    found = list(judge_connectors({"kafka": True, "print": True, "jdbc": False}))
    assert [(one.level, one.message) for one in found] == [
        ("PASS", "kafka, print"),
        ("WARN", "connector jdbc is missing"),
    ]
    assert [one.level for one in judge_connectors({"jdbc": False})] == ["WARN"]


def test_savepoints_need_a_place(tmp_path: Path) -> None:
    assert judge_savepoint_dir(None, is_local=True).level == "WARN"
    writable = judge_savepoint_dir(f"file://{tmp_path}/made/later", is_local=True)
    assert (writable.level, "writable" in writable.message) == ("PASS", True)
    assert "--deep" in judge_savepoint_dir("s3://bucket/savepoints", is_local=True).message
    assert "--deep" in judge_savepoint_dir(f"file://{tmp_path}", is_local=False).message


def test_a_file_in_the_way_of_savepoints_is_found(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    assert judge_savepoint_dir(f"file://{tmp_path}/file/below", is_local=True).level == "FAIL"


@pytest.mark.parametrize(
    ("address", "path"),
    [
        pytest.param("file:///a/b%20c", "/a/b c", id="address"),
        pytest.param("file:/a", "/a", id="one slash"),
        pytest.param("/a/b%20c", "/a/b%20c", id="bare path"),
        pytest.param("s3://a/b", None, id="object store"),
        pytest.param("hdfs:///a", None, id="hdfs"),
    ],
)
def test_only_file_addresses_are_paths_of_this_machine(address: str, path: str | None) -> None:
    assert local_path(address) == (None if path is None else Path(path))


@pytest.fixture
def no_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestration.flink.client.connection.RetryPolicy", lambda attempts: RetryPolicy(attempts=1))


@pytest.mark.usefixtures("no_retries")
def test_without_services_only_what_needs_none_is_looked_at(tmp_path: Path) -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    settings = load_settings(environ={"MILLRACE_STATE_DIR": str(tmp_path)})
    with open_engine(settings, transport=httpx.MockTransport(refuse)) as engine:
        found = {one.name: one for one in diagnose(engine, deep=True)}
    assert {name: one.level for name, one in found.items()} == {
        "gateway": "FAIL",
        "cluster": "FAIL",
        "registry": "PASS",
    }
    assert found["gateway"].is_unreachable
    assert found["cluster"].is_unreachable
