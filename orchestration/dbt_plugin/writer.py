"""The dbt-duckdb plugin through which the materializations in `dbt/macros` write Iceberg tables.

dbt's Jinja cannot catch an error, so it could neither repeat a write that lost a race nor clean up after one; and a
plugin's `store` is dbt-duckdb's way from a materialization to Python.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from dbt.adapters.contracts.connection import AdapterResponse
from dbt.adapters.duckdb.connections import DuckDBConnectionManager
from dbt.adapters.duckdb.plugins import BasePlugin
from dbt.adapters.duckdb.utils import TargetConfig
from dbt.adapters.events.logging import AdapterLogger
from dbt.adapters.factory import get_adapter_by_type
from dbt_common.exceptions import DbtRuntimeError

from orchestration.dbt_plugin.writing.request import WriteRequest
from orchestration.dbt_plugin.writing.write import newest_snapshot, stored_columns, write_table
from orchestration.errors import MillraceError

logger = AdapterLogger("DuckDB")


@dataclass
class WriteResponse(AdapterResponse):
    """dbt's answer for a node, with what the write did."""

    rows: int | None = None
    rows_written: int | None = None
    snapshot_before: str | None = None
    snapshot_after: str | None = None
    seconds: float | None = None
    attempts: int | None = None
    notice: str = ""


class Plugin(BasePlugin):
    """Writes what the materializations pass."""

    def initialize(self, plugin_config: dict[str, Any]) -> None:
        """Remember when the build began."""
        self._built_at = datetime.now(UTC)

    def store(self, target_config: TargetConfig) -> None:
        """Write one model. `config` holds the fields of `WriteRequest`, and `answer`, a dictionary for the response.

        With `question` instead, `answer` gets `has_content`: whether the relation was ever built.

        Raises:
            DbtRuntimeError: with our message, so that dbt shows no stack trace.
        """
        config = dict(target_config.config)
        answer: dict[str, Any] = config.pop("answer")
        adapter = get_adapter_by_type("duckdb")
        connection = adapter.connections.get_thread_connection()
        if "question" in config:
            cursor, relation = connection.handle.cursor(), str(target_config.relation)
            is_there = stored_columns(cursor, relation) is not None
            answer["has_content"] = is_there and newest_snapshot(cursor, relation) is not None
            return
        try:
            if config.get("changes_of"):
                config["code_above"] = [*config["code_above"], *_project_macros(adapter)]
            request = WriteRequest.from_config(config)
            outcome = write_table(
                connection.handle.cursor(), request, built_at=self._built_at, notify=DuckDBConnectionManager.warn_once
            )
        except MillraceError as error:
            raise DbtRuntimeError(f"{error.message} ({error.hint})" if error.hint else error.message) from None
        if outcome.notice:
            logger.warning(outcome.notice)
        done = f"{request.strategy} {outcome.rows_written:,} rows" if outcome.rows_written else "no change"
        facts = asdict(outcome)
        for name in ("snapshot_before", "snapshot_after"):
            # As text: dbt's events carry numbers as floats, and ids have 63 bits.
            facts[name] = str(facts[name]) if facts[name] is not None else None
        answer["response"] = WriteResponse(_message=done, rows_affected=outcome.rows_written, **facts)


def _project_macros(adapter: Any) -> list[str]:
    """Return the code of the project's macros, in a fixed order."""
    resolver = adapter.get_macro_resolver()
    macros = resolver.macros.values() if resolver else ()
    return sorted(one.macro_sql for one in macros if one.package_name not in ("dbt", "dbt_duckdb"))
