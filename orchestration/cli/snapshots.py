"""`millrace snapshots` and `millrace rollback`: the history of a table, and going back in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from orchestration.cli.terminal import AsJson, number, print_json, show, stdout_reserved, table

if TYPE_CHECKING:
    from orchestration.lakehouse.maintenance.history import SnapshotView

TableName = Annotated[str, typer.Argument(metavar="TABLE", help="schema.table, such as silver.cleaned_trips.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("snapshots")(snapshots)
    app.command("rollback")(rollback)


def snapshots(name: TableName, as_json: AsJson = False) -> None:
    """List the snapshots of a table, newest first: who made each, what it changed, and who needs it.

    Examples:

        millrace snapshots bronze.raw_trips

        millrace snapshots silver.cleaned_trips --json | jq '.[0].id'
    """
    with stdout_reserved():
        from orchestration.lakehouse.maintenance.history import list_snapshots
        from orchestration.settings import load_settings

        views = list_snapshots(load_settings(), name)
    if as_json:
        print_json([view.as_dict() for view in views])
        return
    if not views:
        show(f"{name} was never written")
        return
    table(
        ("snapshot", "at (UTC)", "operation", "rows +", "rows -", "total", "files", "by", "held by"),
        [_row(view) for view in views],
        right=("rows +", "rows -", "total", "files"),
    )


def rollback(
    name: TableName,
    to: Annotated[int, typer.Option("--to", metavar="ID", help="The snapshot; `millrace snapshots` lists them.")],
    force: Annotated[bool, typer.Option("--force", help="Also while a live job or run writes the table.")] = False,
    as_json: AsJson = False,
) -> None:
    """Make an earlier snapshot of a table the current one. The later ones stay until they expire, so it can be undone.

    What was rolled back is not lost: after bronze the next run loads the same records again, after silver or the
    rejected rows the next refresh builds them again.

    Examples:

        millrace rollback silver.cleaned_trips --to 7781204431926514
    """
    with stdout_reserved():
        from orchestration.lakehouse.maintenance.rollback import roll_back
        from orchestration.settings import load_settings

        done = roll_back(load_settings(), name, to, is_forced=force)
    if as_json:
        print_json(done.as_dict())
        return
    if done.before == done.after:
        show(f"{name} stands at {to} already: nothing to do")
        return
    change = done.rows_after - done.rows_before
    show(f"{name} went from {done.before} to {done.after}: {number(done.rows_after)} rows ({change:+,})")
    for consequence in done.consequences:
        show(consequence)


def _row(view: SnapshotView) -> tuple[str, ...]:
    marker = "current" if view.is_current else ("" if view.is_ancestor else "rolled back")
    return (
        str(view.id),
        view.at.strftime("%Y-%m-%d %H:%M:%S"),
        view.operation,
        number(view.added_rows),
        number(view.deleted_rows),
        number(view.total_rows) if view.total_rows is not None else "-",
        number(view.total_files) if view.total_files is not None else "-",
        view.writer or "-",
        ", ".join(filter(None, (marker, *view.held_by))),
    )
