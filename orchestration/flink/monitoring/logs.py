"""The engine's log: what became of each statement, as text or as one JSON object a line.

At info a statement is only its hash; the text, without secrets, is written at debug.
"""

from __future__ import annotations

import hashlib
import json
import logging
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TextIO

from orchestration.redaction import redact

if TYPE_CHECKING:
    from orchestration.settings import Settings

_ROOT = "orchestration.flink"
_log = logging.getLogger(f"{_ROOT}.statements")

FIELDS = ("query_id", "session", "operation", "job_id", "phase", "duration_s", "statement")
"""What a record may carry beside its message; `statement` is the hash of the SQL, or its text at debug."""


def statement_hash(sql: str) -> str:
    """Return 12 hexadecimal digits that stand for a statement in the log."""
    return hashlib.sha256(sql.encode()).hexdigest()[:12]


def log_statement(
    outcome: str,
    sql: str,
    *,
    phase: str,
    duration_s: float,
    query_id: str | None = None,
    session: str | None = None,
    operation: str | None = None,
    job_id: str | None = None,
) -> None:
    """Log one phase of a statement: at info with its hash, at debug with its text too.

    Args:
        outcome: ok, cancelled, or an error's code.
    """
    digest = statement_hash(sql)
    fields: dict[str, object] = {
        "query_id": query_id,
        "session": session,
        "operation": operation,
        "job_id": job_id,
        "phase": phase,
        "duration_s": round(duration_s, 3),
    }
    extra = {name: value for name, value in fields.items() if value is not None}
    _log.info("statement %s %s: %s", digest, phase, outcome, extra={**extra, "statement": digest})
    if _log.isEnabledFor(logging.DEBUG):
        text = redact(sql)
        _log.debug("statement %s is: %s", digest, text, extra={**extra, "statement": text})


class JsonLines(logging.Formatter):
    """One JSON object a record: time, level, logger, message, the fields above that it has, and an error."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line."""
        said: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": redact(record.getMessage()),
            **_fields(vars(record)),
        }
        if record.exc_info:
            said["error"] = redact(self.formatException(record.exc_info))
        return json.dumps(said, ensure_ascii=False, default=str)


def _fields(attributes: Mapping[str, object]) -> dict[str, object]:
    return {name: attributes[name] for name in FIELDS if name in attributes}


def configure_logs(settings: Settings, stream: TextIO | None = None) -> None:
    """Send the engine's log to stderr as JSON if the settings say so; else leave it to the process. Idempotent."""
    logger = logging.getLogger(_ROOT)
    if settings.sql_engine_log_format != "json" or any(isinstance(h.formatter, JsonLines) for h in logger.handlers):
        return
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonLines())
    logger.addHandler(handler)
    logger.setLevel(logging.INFO if logger.level == logging.NOTSET else logger.level)
    logger.propagate = False
