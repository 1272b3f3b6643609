"""What the servers' logs say about a job and about sessions."""

from __future__ import annotations

from pathlib import Path

from orchestration.cli.sql.server_logs import lines_about, open_sessions

A, B, C = (letter * 8 + "-0000-0000-0000-" + letter * 12 for letter in "abc")
MANAGER = "INFO  org.apache.flink.table.gateway.service.session.SessionManagerImpl [] -"


def opened(at: str, session: str, count: int) -> str:
    return (
        f"2026-01-02 {at},000 {MANAGER} Session {session} is opened, and the number of current sessions is {count}.\n"
    )


def closed(at: str, session: str) -> str:
    return f"2026-01-02 {at},000 {MANAGER} Session: {session} is closed.\n"


def test_lines_of_a_job_come_by_time_with_their_stack(tmp_path: Path) -> None:
    (tmp_path / "jobmanager.log").write_text(
        "2026-01-02 10:00:00,000 INFO Job j1 starts\n"
        "2026-01-02 10:00:02,000 WARN Job j1 failed\n"
        "java.lang.NumberFormatException: x\n\tat a.b.C\n"
        "2026-01-02 10:00:03,000 INFO Job other starts\n\tat nothing\n"
    )
    (tmp_path / "taskmanager.log").write_text("2026-01-02 10:00:01,500 INFO Source of j1 runs, token=hunter22\n")
    found = lines_about(tmp_path, ["j1", "the name"], 50)
    assert [(line.server, line.text.strip().split(",000 ")[-1]) for line in found] == [
        ("jobmanager", "INFO Job j1 starts"),
        ("taskmanager", "2026-01-02 10:00:01,500 INFO Source of j1 runs, token=******"),
        ("jobmanager", "WARN Job j1 failed"),
        ("jobmanager", "java.lang.NumberFormatException: x"),
        ("jobmanager", "at a.b.C"),
    ]
    assert [line.text for line in lines_about(tmp_path, ["j1"], 1)] == ["\tat a.b.C"]
    assert lines_about(tmp_path, ["j1"], 0) == []
    assert lines_about(tmp_path, [], 9) == []


def test_servers_elsewhere_leave_no_lines(tmp_path: Path) -> None:
    assert lines_about(tmp_path / "nowhere", ["j1"], 50) == []


def test_sessions_that_were_not_closed_are_open(tmp_path: Path) -> None:
    log = tmp_path / "gateway.log"
    log.write_text(opened("10:00:00", A, 1) + opened("10:00:01", B, 2) + closed("10:00:02", A))
    assert open_sessions(log) == {B: "2026-01-02 10:00:01.000"}


def test_sessions_of_an_earlier_gateway_are_gone(tmp_path: Path) -> None:
    log = tmp_path / "gateway.log"
    log.write_text(opened("10:00:00", A, 1) + opened("10:00:01", B, 2) + opened("11:00:00", C, 1))
    assert list(open_sessions(log)) == [C]
