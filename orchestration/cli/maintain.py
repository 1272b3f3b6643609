"""`millrace maintain`: compaction, expiry and orphan removal of the Iceberg tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from orchestration.cli.terminal import AsJson, number, print_json, say, show, stdout_reserved

if TYPE_CHECKING:
    from orchestration.lakehouse.maintenance.report import MaintenanceReport, TableReport

app = typer.Typer()

What = Literal["compact", "expire", "vacuum", "all"]


@app.command("maintain")
def maintain(
    step: Annotated[What, typer.Argument(help="What to do; all does the three in this order.")] = "all",
    table: Annotated[str | None, typer.Option("--table", metavar="T", help="Only schema.table; else all.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be done, change nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Keep the Iceberg tables fast and small, beside whoever reads and writes them. Safe to repeat.

    compact merges small files, folds deletes in and merges manifests; the rows stay the same, and no writer or reader
    notices. expire drops old snapshots that nobody needs, and their files. vacuum moves files that no snapshot knows
    into a quarantine folder of the table, and deletes them days later.

    Examples:

        millrace maintain

        millrace maintain compact --table bronze.raw_trips

        millrace maintain vacuum --dry-run --json
    """
    with stdout_reserved():
        from orchestration.lakehouse.maintenance.report import STEPS
        from orchestration.lakehouse.maintenance.run import maintain as run
        from orchestration.settings import load_settings

        steps = STEPS if step == "all" else (step,)
        report = run(load_settings(), steps, table=table, is_dry_run=dry_run, say=say)
    if as_json:
        print_json(report.as_dict())
    else:
        for line in describe(report):
            show(line)
    if report.failed:
        raise typer.Exit(1)


def describe(report: MaintenanceReport) -> list[str]:
    """Return a report as lines for people: tables where something happened, and those that could not be maintained."""
    lines = [line for table in report.tables for line in _describe_table(table, is_dry_run=report.is_dry_run)]
    if not report.did_something and not report.failed:
        lines.append(f"nothing to do: {number(len(report.tables))} tables are as they should be")
    elif report.is_dry_run:
        lines.append("dry run: nothing was changed")
    return lines


def _describe_table(table: TableReport, *, is_dry_run: bool) -> list[str]:
    lines: list[str] = []
    if table.left_over:
        lines.append(f"{number(table.left_over)} files of a run that was cut off deleted")
    for part in (_planned(table), _compacted(table), _expired(table, is_dry_run), _vacuumed(table, is_dry_run)):
        lines += part
    if table.error is not None:
        lines.append(f"stopped: {table.error}{f' ({table.hint})' if table.hint else ''}")
    return [f"{table.table}: {line}" for line in lines]


def _planned(table: TableReport) -> list[str]:
    plan = table.planned
    if plan is None:
        return []
    if plan.skipped:
        return [f"not compacted: {plan.skipped}"]
    if not plan.is_needed:
        return []
    return [
        f"{number(plan.input_files)} of {number(plan.files)} files ({_bytes(plan.input_bytes)}) would become at most "
        f"{number(len(plan.groups))}; {number(plan.manifests)} small manifests merged, "
        f"{number(plan.dangling)} delete files dropped"
    ]


def _compacted(table: TableReport) -> list[str]:
    done = table.compact
    if done is None:
        return []
    if done.skipped:
        return [f"not compacted: {done.skipped}"]
    lines: list[str] = []
    if done.snapshot_ids:
        folded = f", {number(done.deletes_removed)} delete files folded in" if done.deletes_removed else ""
        lines.append(
            f"{number(done.files_before)} files ({_bytes(done.bytes_before)}) became {number(done.files_after)} "
            f"({_bytes(done.bytes_after)}), {number(done.manifests_before)} manifests {number(done.manifests_after)}"
            f"{folded}"
        )
    if done.conflicts:
        lines.append(f"{number(done.conflicts)} groups left to the next run: a writer changed their files meanwhile")
    return lines


def _expired(table: TableReport, is_dry_run: bool) -> list[str]:
    done = table.expire
    if done is None:
        return []
    lines = [f"snapshots not expired: {done.skipped}"] if done.skipped else []
    if done.snapshots:
        verb = "would expire" if is_dry_run else "expired"
        lines.append(
            f"{number(done.snapshots)} snapshots {verb} with {number(done.files)} files, {number(done.kept)} are kept"
        )
    lines += [f"snapshot {snapshot} is kept: {reason}" for snapshot, reason in done.held.items()]
    return lines


def _vacuumed(table: TableReport, is_dry_run: bool) -> list[str]:
    done = table.vacuum
    if done is None:
        return []
    would = "would be " if is_dry_run else ""
    lines = [f"not vacuumed: {done.skipped}"] if done.skipped else []
    if done.quarantined:
        size = _bytes(done.quarantined_bytes)
        lines.append(f"{number(len(done.quarantined))} orphans ({size}) {would}moved to quarantine")
        if is_dry_run:
            lines += [f"  {location}" for location in done.quarantined]
    if done.deleted:
        size = _bytes(done.deleted_bytes)
        lines.append(f"{number(len(done.deleted))} files ({size}) {would}deleted from quarantine")
    if done.restored:
        lines.append(f"{number(len(done.restored))} files {would}moved back: a snapshot needs them")
    return lines


def _bytes(count: int) -> str:
    for unit, size in (("GiB", 1024**3), ("MiB", 1024**2), ("KiB", 1024)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} B"
