"""Takes the events of one run as they happen, and sums them up."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from orchestration.contracts import DatasetContract
from orchestration.errors import MillraceError
from orchestration.naming import landing_key, table_key
from orchestration.pipeline.report import STAGES, CheckOutcome, Note, RunFailedError, RunReport, Stage
from orchestration.settings import Settings

if TYPE_CHECKING:
    import dagster as dg

MODELS_STEP = "dbt_models"
"""The step that builds all models."""
_FACT = ("marts", "fct_trips")
_INTERRUPTED = frozenset({"DagsterExecutionInterruptedError", "KeyboardInterrupt"})

OnNote = Callable[[Note], None]


def step_of(key: list[str]) -> str:
    """Return the name of the step that writes an asset of ours."""
    return "__".join(key)


class Recorder:
    """Listener of one run. Dagster calls it for every event and log message, in the process that runs the steps."""

    def __init__(
        self, instance: dg.DagsterInstance, contract: DatasetContract, facts_before: int, on_note: OnNote | None
    ) -> None:
        self.was_interrupted = False
        self._instance, self._on_note = instance, on_note
        self._began = time.monotonic()
        self._stage_of = {
            step_of(landing_key(contract.name)): "landing",
            step_of(table_key(contract.tables.bronze)): "bronze",
            step_of(table_key(contract.tables.silver)): "silver",
            MODELS_STEP: "gold",
        }
        self._tables = {
            tuple(landing_key(contract.name)): ("landing", ("events_sent", "dead_letters_sent")),
            tuple(table_key(contract.tables.bronze)): ("bronze", ("rows_added",)),
            tuple(table_key(contract.tables.silver)): ("silver", ("rows_added",)),
        }
        self._facts_before = facts_before
        self._seconds: dict[str, float] = {}
        self._rows: dict[str, int] = {}
        self._work: dict[str, float] = {}
        self._checks: list[CheckOutcome] = []
        self._failure: tuple[str, Any] | None = None
        self._last_message = ""

    def take(self, entry: Any) -> None:
        """Take one entry of the run's event log."""
        event = entry.dagster_event
        if event is None:
            self._note(entry.step_key, entry.user_message)
            return
        match event.event_type_value:
            case "STEP_START":
                self._note(event.step_key, "started")
            case "ASSET_MATERIALIZATION":
                self._take_materialization(event.event_specific_data.materialization)
            case "ASSET_CHECK_EVALUATION":
                self._take_check(event.event_specific_data)
            case "STEP_SUCCESS":
                self._take_end(event)
            case "STEP_UP_FOR_RETRY":
                self._note(event.step_key, "failed, and is tried again")
            case "STEP_FAILURE":
                self._take_failure(event, entry.run_id)
            case "PIPELINE_FAILURE":
                self._take_run_failure(event)
            case _:
                pass

    def report(self, run_id: str, *, is_success: bool) -> RunReport:
        """Return what the run did."""
        return RunReport(
            run_id=run_id,
            is_success=is_success,
            seconds=time.monotonic() - self._began,
            stages=tuple(
                Stage(name, self._rows.get(name, 0), self._seconds[name], self._work.get(name, self._seconds[name]))
                for name in STAGES
                if name in self._seconds
            ),
            checks=tuple(self._checks),
        )

    def failure(self) -> RunFailedError:
        """Return the error that stands for the first step that failed."""
        if self._failure is None:
            return RunFailedError(f"the run failed: {self._last_message or 'Dagster gave no reason'}", hint=_LOOK)
        step, data = self._failure
        stage = self._stage_of.get(step, step)
        user = data.user_failure_data
        if user is not None and user.description:
            values = {name: _text(value) for name, value in (user.metadata or {}).items()}
            hint = values.pop("what_to_do", None)
            cause = values.pop("error", "")
            message = user.description.removesuffix(f" ({hint})") if hint else user.description
            return RunFailedError(f"{stage}: {message}", hint=hint, context=values, cause=cause)
        error = data.error
        while error is not None and error.cause is not None:
            error = error.cause
        text = " ".join(error.message.split())[:500] if error is not None else "Dagster gave no reason"
        return RunFailedError(f"{stage}: {text}", hint=_LOOK, cause=error.cls_name or "" if error is not None else "")

    def _take_materialization(self, materialization: Any) -> None:
        # A landing also reports each month that it saw; the sum over all files has no partition.
        if materialization.partition is not None:
            return
        path = tuple(materialization.asset_key.path)
        metadata = materialization.metadata
        if path == _FACT and "dagster/row_count" in metadata:
            self._rows["gold"] = max(metadata["dagster/row_count"].value - self._facts_before, 0)
        elif path in self._tables:
            stage, names = self._tables[path]
            self._rows[stage] = sum(metadata[name].value for name in names if name in metadata)
            if "seconds" in metadata:
                self._work[stage] = metadata["seconds"].value

    def _take_check(self, evaluation: Any) -> None:
        self._checks.append(
            CheckOutcome(
                asset="/".join(evaluation.asset_key.path),
                name=evaluation.check_name,
                passed=evaluation.passed,
                is_error=evaluation.severity.value == "ERROR",
                message=evaluation.description or "",
            )
        )

    def _take_end(self, event: Any) -> None:
        seconds = event.event_specific_data.duration_ms / 1000
        stage = self._stage_of.get(event.step_key)
        if stage is None:
            return
        self._seconds[stage] = seconds
        rows = self._rows.get(stage, 0)
        self._note(event.step_key, f"done in {seconds:.1f} s, {rows:+,} rows" if rows else f"done in {seconds:.1f} s")

    def _take_failure(self, event: Any, run_id: str) -> None:
        data = event.event_specific_data
        error = data.error
        while error is not None:
            if error.cls_name in _INTERRUPTED:
                self._cancel(run_id)
                return
            error = error.cause
        if self._failure is None:
            self._failure = (event.step_key, data)

    def _cancel(self, run_id: str) -> None:
        """Tell Dagster that somebody asked for the end: the run then becomes CANCELED, not FAILURE."""
        self.was_interrupted = True
        run = self._instance.get_run_by_id(run_id)
        if run is not None:
            self._instance.report_run_canceling(run)

    def _take_run_failure(self, event: Any) -> None:
        reason = getattr(event.event_specific_data, "failure_reason", None)
        self._last_message = event.message or ""
        if reason is not None and reason.value == "UNEXPECTED_TERMINATION":
            self.was_interrupted = True

    def _note(self, step: str | None, text: str) -> None:
        if self._on_note is not None and step is not None:
            self._on_note(Note(self._stage_of.get(step, step), text, time.monotonic() - self._began))


_LOOK = "`millrace ui` shows the run with its stack trace"


def _text(value: Any) -> str:
    return str(getattr(value, "value", value))


def count_facts(settings: Settings) -> int:
    """Return the rows of the fact table; 0 before the first build, or while another process writes a local file."""
    import duckdb

    from orchestration.dbt_plugin.gold import connect_gold, mart_relation

    if settings.gold_target == "duckdb" and not settings.gold_path.is_file():
        return 0
    try:
        with connect_gold(settings) as connection:
            row = connection.execute(f"SELECT count(*) FROM {mart_relation(settings, _FACT[1])}").fetchone()
    except (duckdb.Error, MillraceError):
        return 0
    return int(row[0]) if row else 0
