"""The engine's log: hashes at info, text at debug, JSON lines on request, and never a secret."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest

from orchestration.flink.monitoring.logs import JsonLines, configure_logs, log_statement, statement_hash
from orchestration.redaction import MASK
from orchestration.settings import Settings

SQL = "CREATE TABLE t (n INT) WITH ('password' = 'hunter22')"


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    """The engine's logger, as it is in a new process."""
    found = logging.getLogger("orchestration.flink")
    level, handlers, propagate = found.level, list(found.handlers), found.propagate
    found.setLevel(logging.NOTSET)
    yield found
    found.setLevel(level)
    found.handlers, found.propagate = handlers, propagate


def said(logger: logging.Logger, level: int = logging.NOTSET) -> list[dict[str, object]]:
    """Log one failed statement and return the lines."""
    stream = io.StringIO()
    configure_logs(Settings(sql_engine_log_format="json"), stream)
    configure_logs(Settings(sql_engine_log_format="json"), stream)
    if level:
        logger.setLevel(level)
    log_statement("connector_missing", SQL, phase="ready", duration_s=0.12345, session="s1", job_id="a" * 32)
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_has_the_fields_that_are_known_and_the_hash(logger: logging.Logger) -> None:
    [line] = said(logger)
    assert line.pop("time")
    assert line == {
        "level": "info",
        "logger": "orchestration.flink.statements",
        "message": f"statement {statement_hash(SQL)} ready: connector_missing",
        "session": "s1",
        "job_id": "a" * 32,
        "phase": "ready",
        "duration_s": 0.123,
        "statement": statement_hash(SQL),
    }


def test_the_text_is_told_at_debug_only_and_without_its_secret(logger: logging.Logger) -> None:
    info, debug = said(logger, logging.DEBUG)
    assert "CREATE TABLE" not in json.dumps(info)
    assert debug["statement"] == f"CREATE TABLE t (n INT) WITH ('password' = '{MASK}')"
    assert "hunter22" not in json.dumps([info, debug])


def test_an_error_is_one_line_too_and_without_secrets() -> None:
    try:
        raise ValueError("password=hunter22")
    except ValueError as error:
        record = logging.LogRecord("x", logging.ERROR, "f", 1, "it failed", None, (ValueError, error, None))
    line = JsonLines().format(record)
    assert "\n" not in line
    assert json.loads(line)["error"] == f"ValueError: password={MASK}"


def test_text_is_the_default_and_leaves_the_log_to_the_process(logger: logging.Logger) -> None:
    before = list(logger.handlers)
    configure_logs(Settings())
    assert (logger.handlers, logger.propagate) == (before, True)


def test_two_texts_have_two_hashes() -> None:
    assert statement_hash("SELECT 1") != statement_hash("SELECT 2")
    assert len(statement_hash("SELECT 1")) == 12
