"""`millrace sql reconcile`, `sessions` and `doctor`: is everything as it should be, and what can be repaired."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from orchestration.cli.sql.engine import opened_engine
from orchestration.cli.sql.options import AsJson, AsOutput, Output, choose_output
from orchestration.cli.sql.output import as_record, write_records
from orchestration.cli.terminal import mark, say, show, stdout_reserved

if TYPE_CHECKING:
    from orchestration.flink.diagnosis import Finding

UNREACHABLE, FAILED = 5, 4


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("reconcile", short_help="Bring registry and cluster together.")(reconcile)
    app.command("sessions", short_help="List the gateway's open sessions.")(sessions)
    app.command("doctor", short_help="Check whether queries can run.")(doctor)


def reconcile(
    recover: Annotated[
        bool, typer.Option("--recover", help="Also start lost queries again, from their last checkpoint or savepoint.")
    ] = False,
    output: AsOutput = None,
    as_json: AsJson = False,
) -> None:
    """Bring the registry and the cluster together after a kill, a restart, or a change from outside.

    Safe at any time and from several processes. Queries that failed are started again if their restart policy says so.
    A job of ours without a record gets one, by its name: so a lost registry is rebuilt. Streams of datasets are left
    to `millrace stream deploy`, which looks at their tables.
    Exits with 4 if a repair failed.

    Examples:

        millrace sql reconcile

        millrace sql reconcile --recover --json
    """
    form = choose_output(output, as_json)
    with opened_engine() as engine:
        repairs = engine.reconcile(recover=recover)
    records = [as_record(repair) for repair in repairs]
    columns = ("name", "action", "before", "after", "reason", "error")
    write_records(form, records, columns=columns, nothing="nothing to repair")
    if any(repair.error for repair in repairs):
        raise typer.Exit(FAILED)


def sessions(output: AsOutput = None, as_json: AsJson = False) -> None:
    """List the sessions that are open on the local SQL Gateway, by its log: Flink has no call that lists them.

    Examples:

        millrace sql sessions

        millrace sql sessions --json | jq length
    """
    from orchestration.cli.sql.server_logs import open_sessions

    form = choose_output(output, as_json)
    with stdout_reserved():
        from orchestration.errors import NotFoundError
        from orchestration.settings import load_settings

        settings = load_settings()
    log = settings.instance_dir / "logs" / "gateway.log"
    if not log.is_file():
        raise NotFoundError(
            f"the log of the SQL Gateway at {settings.flink_sql_gateway_url} is not on this machine: {log}",
            hint="look at the gateway's own log for lines of SessionManagerImpl",
        )
    found = open_sessions(log)
    records = [{"session": handle, "opened_at": at} for handle, at in found.items()]
    write_records(form, records, columns=("session", "opened_at"), titles=("session", "opened"), nothing="no session")
    if form is Output.TABLE and records:
        say("idle ones are closed by the gateway, see sql-gateway.session.idle-timeout")


def doctor(
    deep: Annotated[bool, typer.Option("--deep", help="Also make a savepoint of a tiny job.")] = False,
    output: AsOutput = None,
    as_json: AsJson = False,
) -> None:
    """Check whether queries can run: versions, slots, a session, a statement, connectors, savepoints, the clock.

    Leaves nothing behind. Exits with 5 if a service does not answer, with 4 if something else must be repaired.

    Examples:

        millrace sql doctor

        millrace sql doctor --deep --json | jq '.findings[] | select(.level != "PASS")'
    """
    from orchestration.flink.doctor import diagnose

    form = choose_output(output, as_json)
    with opened_engine() as engine:
        findings: list[Finding] = []
        for finding in diagnose(engine, deep=deep):
            findings.append(finding)
            if form is Output.TABLE:
                show(f"{mark(finding.level)}  {finding.name:<17} {finding.message}")
                if finding.hint and finding.level != "PASS":
                    show(f"{'':24}hint: {finding.hint}")
    failed = [finding for finding in findings if finding.level == "FAIL"]
    warned = sum(finding.level == "WARN" for finding in findings)
    if form is Output.TABLE:
        show(f"\n{len(findings) - len(failed) - warned} fine, {warned} warnings, {len(failed)} to repair")
    else:
        records = [as_record(finding) for finding in findings]
        columns = ("name", "level", "message", "hint")
        write_records(form, records, columns=columns, document={"ok": not failed, "findings": records})
    if failed:
        raise typer.Exit(UNREACHABLE if any(finding.is_unreachable for finding in failed) else FAILED)
