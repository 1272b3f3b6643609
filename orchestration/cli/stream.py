"""`millrace stream`: the continuous job of a dataset, from the topic into bronze and silver."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from orchestration.cli.sql.output import as_record
from orchestration.cli.sql.persistent import progress
from orchestration.cli.terminal import AsJson, duration, number, print_json, show, stdout_reserved, table

if TYPE_CHECKING:
    from orchestration.contracts import DatasetContract
    from orchestration.lakehouse.streams.operate import StreamResult
    from orchestration.lakehouse.streams.status import StreamStatus
    from orchestration.settings import Settings

app = typer.Typer(no_args_is_help=True, help="Feed bronze and silver continuously with one Flink job a dataset.")

Name = Annotated[
    str | None, typer.Argument(metavar="[NAME]", help="The stream or its dataset. Default: that of DATASET.")
]
From = Annotated[
    str,
    typer.Option(
        "--from",
        metavar="latest|fresh|PATH",
        help="latest: its newest saved state if the tables still fit it; fresh: the offsets that bronze holds; or the "
        "path of a savepoint or checkpoint.",
    ),
]


@app.command()
def deploy(name: Name = None, as_json: AsJson = False) -> None:
    """Start the stream, or adopt its job if it runs already.

    It goes on from the newest savepoint or checkpoint of its last job; without one, from the offsets that bronze holds.

    Examples:

        millrace stream deploy

        millrace stream deploy taxi --json | jq -r .job_id
    """
    from orchestration.lakehouse.streams.operate import deploy_stream

    with _dataset(name) as (settings, contract):
        result = deploy_stream(settings, contract, progress())
    _write(result, as_json)


@app.command()
def status(name: Name = None, as_json: AsJson = False) -> None:
    """Show job, checkpoints, lag, and up to which checkpoint each table holds the stream.

    Examples:

        millrace stream status

        millrace stream status --json | jq .lag_records
    """
    from orchestration.lakehouse.streams.status import read_status

    with _dataset(name) as (settings, contract):
        found = read_status(settings, contract)
    if as_json:
        print_json(as_record(found))
        return
    _show(found)


@app.command()
def stop(name: Name = None, as_json: AsJson = False) -> None:
    """Stop the stream with a savepoint. Afterwards batch runs may write its tables.

    Examples:

        millrace stream stop
    """
    from orchestration.lakehouse.streams.operate import stop_stream

    with _dataset(name) as (settings, contract):
        result = stop_stream(settings, contract, progress())
    if as_json:
        print_json(as_record(result))
        return
    show(f"{result.name} is {result.state}" + ("" if result.changed else ", as it was before"))
    if result.savepoint_path:
        show(f"  savepoint  {result.savepoint_path}")


@app.command()
def restart(name: Name = None, from_: From = "latest", as_json: AsJson = False) -> None:
    """Start the stream again; one that runs is stopped first.

    A state that is older than what the tables hold, or newer, is refused: the job would lose rows without a word.

    Examples:

        millrace stream restart

        millrace stream restart --from fresh
    """
    from orchestration.lakehouse.streams.operate import restart_stream

    with _dataset(name) as (settings, contract):
        result = restart_stream(settings, contract, from_, progress())
    _write(result, as_json)


@app.command()
def upgrade(name: Name = None, as_json: AsJson = False) -> None:
    """Bring a stream that runs to the contract and settings of today, from a savepoint.

    If the new job makes no checkpoint in time, the old one runs again.

    Examples:

        millrace stream upgrade
    """
    from orchestration.lakehouse.streams.operate import upgrade_stream

    with _dataset(name) as (settings, contract):
        result = upgrade_stream(settings, contract, progress())
    _write(result, as_json)


@contextmanager
def _dataset(name: str | None) -> Iterator[tuple[Settings, DatasetContract]]:
    from orchestration.cli.sql.interrupts import Interrupts

    with stdout_reserved():
        from orchestration.contracts.resolve import settings_of
        from orchestration.settings import load_settings

        settings = load_settings()
        dataset = settings.dataset if name is None else name.removesuffix("_stream")
        settings, contract = settings_of(settings, dataset)
    # After a signal an operation takes back what it began.
    with Interrupts():
        yield settings, contract


def _write(result: StreamResult, as_json: bool) -> None:
    if as_json:
        print_json(as_record(result))
        return
    show(f"{result.name} is {result.state} ({result.action}, generation {result.generation})")
    show(f"  job    {result.job_id}  {result.job_name}")
    show(f"  web    {result.url}")
    if result.restored_from:
        show(f"  from   {result.restored_from}")
    if result.start_offsets:
        offsets = ", ".join(f"{partition}: {number(offset)}" for partition, offset in result.start_offsets.items())
        show(f"  from   offsets {offsets}")


def _show(found: StreamStatus) -> None:
    show(f"{found.name} is {found.state}" + (f", job {found.job_id} {found.job_state}" if found.job_state else ""))
    facts = [
        ("web", found.url),
        ("restarts", None if found.restarts is None else str(found.restarts)),
        ("checkpoint", _checkpoint(found)),
        ("failed", f"{found.failed_checkpoints} checkpoints" if found.failed_checkpoints else None),
        ("lag", None if found.lag_records is None else f"{number(found.lag_records)} records (group {found.group})"),
        ("savepoint", found.savepoint_path),
        ("definition", "is not that of today: `millrace stream upgrade`" if found.is_current is False else None),
        ("error", found.error),
    ]
    for title, value in facts:
        if value is not None:
            show(f"  {title:<11} {value}")
    committed = [(name, "-" if one is None else str(one)) for name, one in found.committed.items()]
    table(("table", "checkpoint"), committed, right=("checkpoint",))


def _checkpoint(found: StreamStatus) -> str | None:
    if found.checkpoint_id is None:
        return None
    age = "" if found.checkpoint_age_s is None else f", {duration(found.checkpoint_age_s)} ago"
    return f"{found.checkpoint_id}{age}"
