"""`millrace sql list`, `status` and `logs`: what runs, and how it does."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestration.cli.sql.engine import opened_engine
from orchestration.cli.sql.options import AsJson, AsOutput, Output, Ref, choose_output
from orchestration.cli.sql.output import as_record, write_records, write_result
from orchestration.cli.terminal import bold, duration, number, show

if TYPE_CHECKING:
    from orchestration.flink.monitoring.health import Health
    from orchestration.flink.queries.listing import QueryView

_COLUMNS = ("name", "state", "desired", "uptime_s", "restarts", "last_checkpoint_at", "lag_records", "sink", "owner")
_TITLES = ("name", "state", "desired", "uptime", "restarts", "last checkpoint", "lag", "sink", "owner")
SESSION_SCHEMA = "default_catalog.default_database"
"""Flink's own; tables there are shown by their name alone."""


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("list", short_help="List the persistent queries.")(list_)
    app.command("status", short_help="Show one query and how it does.")(status)
    app.command("logs", short_help="Show a query's failures and log lines.")(logs)


def list_(
    state: Annotated[str | None, typer.Option("--state", help="Only those in this state, such as RUNNING.")] = None,
    owner: Annotated[str | None, typer.Option("--owner", help="Only those of this owner.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Also jobs that are no persistent query of ours.")] = False,
    output: AsOutput = None,
    as_json: AsJson = False,
) -> None:
    """List the persistent queries: what they should do, and what the cluster says that they do.

    Examples:

        millrace sql list

        millrace sql list --state FAILED --json | jq -r '.[].name'
    """
    from orchestration.flink.queries.states import QueryState

    form = choose_output(output, as_json)
    wanted = _state(state, [item.value for item in QueryState])
    with opened_engine() as engine:
        views = engine.list(state=QueryState(wanted) if wanted else None, owner=owner, include_foreign=everything)
    records = [_without_details(as_record(view)) for view in views]
    if form is Output.TABLE:
        records = [record | _for_people(view) for record, view in zip(records, views, strict=True)]
    columns = _COLUMNS if form is Output.TABLE else (*_COLUMNS, "id", "job_id", "job_name", "url", "topic", "path")
    write_records(
        form,
        records,
        columns=columns,
        titles=_TITLES if form is Output.TABLE else None,
        right=("uptime", "restarts", "lag"),
        nothing="no persistent queries; `millrace sql deploy --help` shows how to make one",
    )


def _state(given: str | None, known: list[str]) -> str | None:
    from orchestration.errors import InputError

    if given is None or given.upper() in known:
        return given and given.upper()
    raise InputError(f"there is no state {given!r}", hint=f"one of {', '.join(known)}")


def _without_details(record: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in record.items() if key not in ("checkpoints", "exceptions")}


def _for_people(view: QueryView) -> dict[str, object]:
    return {
        "uptime_s": None if view.uptime_s is None else duration(view.uptime_s),
        "last_checkpoint_at": _ago(view.last_checkpoint_at),
        "lag_records": None if view.lag_records is None else number(view.lag_records),
        "sink": view.sink.replace(f"{SESSION_SCHEMA}.", ""),
    }


def _ago(at: datetime | None) -> str | None:
    return None if at is None else f"{duration((datetime.now(UTC) - at).total_seconds())} ago"


def status(ref: Ref, output: AsOutput = None, as_json: AsJson = False) -> None:
    """Show one query: state, health, checkpoints, restarts, slots, lag, failures, and its page in Flink's web UI.

    Examples:

        millrace sql status revenue_per_zone

        millrace sql status revenue_per_zone --json | jq .checkpoints
    """
    from orchestration.flink.client.models import TERMINAL
    from orchestration.flink.monitoring.health import judge, read_job

    form = choose_output(output, as_json)
    with opened_engine() as engine:
        view = engine.status(ref)
        is_live = view.job_id is not None and view.job_state is not None and view.job_state not in TERMINAL
        reading = read_job(engine.rest, view.job_id) if view.job_id and is_live else None
        overview = engine.rest.overview()
    health = judge(reading) if reading else None
    slots = max((vertex.parallelism for vertex in reading.vertices), default=0) if reading else 0
    counts = view.checkpoints.counts if view.checkpoints else None
    record = _without_details(as_record(view)) | {
        "health": None if health is None else _health(health),
        "slots": {"used": slots, "free": overview.slots_available, "total": overview.slots_total},
        "checkpoints": None
        if view.checkpoints is None or counts is None
        else {
            "completed": counts.completed,
            "failed": counts.failed,
            "in_progress": counts.in_progress,
            "restored": counts.restored,
            "latest": view.checkpoints.latest.model_dump(mode="json"),
        },
        "failures": failures_of(view),
    }
    write_result(form, record, lambda: _show_status(view, record, health))


def _health(health: Health) -> dict[str, object]:
    reasons = [{"code": one.code, "level": one.level.value, "text": one.text} for one in health.reasons]
    return {"level": health.level.value, "reasons": reasons}


def failures_of(view: QueryView) -> list[dict[str, object]]:
    """Return the failures of a query's job, newest first, each with its root cause."""
    from orchestration.flink.client.traces import root_cause

    return [
        {
            "at": entry.timestamp.isoformat() if entry.timestamp else None,
            "task": entry.task_name,
            "cause": root_cause(entry.stacktrace or entry.name),
        }
        for entry in view.exceptions
    ]


def _show_status(view: QueryView, record: dict[str, Any], health: Health | None) -> None:
    counts, slots = record["checkpoints"], record["slots"]
    wanted = f", should be {view.desired}" if view.desired and view.desired != view.state.value else ""
    last = _ago(view.last_checkpoint_at) or "none yet"
    checkpoints = counts and f"{counts['completed']} completed, {counts['failed']} failed, last {last}"
    facts = (
        ("state", f"{view.state.value}{wanted}"),
        ("health", health and f"{health.level.value}: {health.text}"),
        ("query", view.id and f"{view.id}, generation {view.generation}, owner {view.owner or '-'}"),
        ("job", view.job_id and f"{view.job_id}  {view.job_name}  {view.job_state or 'unknown to the cluster'}"),
        ("web", view.url),
        ("uptime", None if view.uptime_s is None else duration(view.uptime_s)),
        ("restarts", None if view.restarts is None else number(view.restarts)),
        ("checkpoints", checkpoints),
        ("checkpoint", view.checkpoint_path),
        ("savepoint", view.savepoint_path),
        ("lag", None if view.lag_records is None else f"{number(view.lag_records)} records"),
        ("slots", f"{slots['used']} used; {slots['free']} of {slots['total']} free"),
        ("sink", view.sink and f"{view.sink}  ({view.connector or 'connector unknown'})"),
        ("topic", view.topic),
        ("path", view.path),
        ("error", view.error_text and f"{view.error_code}: {view.error_text}"),
    )
    show(bold(view.name))
    for title, value in facts:
        if value:
            show(f"  {title:<12} {value}")
    for failure in record["failures"]:
        show(f"  failure      {failure['at'] or '-'}  {failure['cause']}")


def logs(
    ref: Ref,
    lines: Annotated[int, typer.Option("-n", "--lines", min=0, help="How many of the last lines.")] = 50,
    output: AsOutput = None,
    as_json: AsJson = False,
) -> None:
    """Show why a query's job failed, newest first, and the last lines of the local servers' logs about it.

    Examples:

        millrace sql logs revenue_per_zone

        millrace sql logs revenue_per_zone -n 200

        millrace sql logs revenue_per_zone --json | jq .failures
    """
    from orchestration.cli.sql.server_logs import lines_about

    form = choose_output(output, as_json)
    with opened_engine() as engine:
        view = engine.status(ref)
        settings = engine.settings
    failures = failures_of(view)
    wanted = [word for word in (view.job_id, view.job_name) if word]
    found = lines_about(settings.instance_dir / "logs", wanted, lines)
    if form is not Output.TABLE:
        records = [{"source": "exceptions", **failure} for failure in failures]
        records += [{"source": line.server, "at": line.at, "text": line.text} for line in found]
        document = {"failures": failures, "lines": [record for record in records if record["source"] != "exceptions"]}
        write_records(form, records, columns=("source", "at", "task", "cause", "text"), document=document)
        return
    for failure in failures:
        show(f"{failure['at'] or '-'}  {failure['task'] or 'job'}: {failure['cause']}")
    if not failures:
        show("the cluster knows no failure of this job")
    show(f"\nlast lines of the servers' logs about {view.job_name}:" if found else "\nno line of a local log names it")
    for line in found:
        show(f"{line.server:<12} | {line.text}")
