"""`millrace sample`: a file of taxi trips whose accounting is known beforehand."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from orchestration.cli.terminal import AsJson, number, print_json, show, stdout_reserved, table


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("sample")(sample)


def sample(
    path: Annotated[Path, typer.Argument(help="Parquet file to write; YYYY-MM in its name chooses the month.")],
    rows: Annotated[int, typer.Option(min=0, help="Number of rows.")] = 10_000,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same bytes.")] = 42,
    dirty: Annotated[
        float,
        typer.Option(min=0.0, max=0.5, help="Share of rows with a defect, spread evenly over all kinds of defects."),
    ] = 0.0,
    month: Annotated[str | None, typer.Option(help="YYYY-MM of the pickups, over the file's name.")] = None,
    as_json: AsJson = False,
) -> None:
    """Write a deterministic sample of taxi trips: the official 19 columns, several row groups.

    With --dirty it holds exact duplicates, rows that the generator refuses, and rows for every quality rule, as many
    of each. The exact numbers that each layer will hold are printed.

    Examples:

        millrace sample --rows 100000 --dirty 0.05 data/yellow_tripdata_2024-01.parquet

        millrace sample --rows 50 --seed 7 --json sample_2024-02.parquet | jq .silver
    """
    with stdout_reserved():
        from dataclasses import asdict

        from orchestration.generator.sample import write_sample

        expected = write_sample(path, rows=rows, seed=seed, dirty=dirty, month=month)
    if as_json:
        print_json({"path": str(path.absolute()), **asdict(expected)})
        return
    show(f"wrote {number(rows)} rows to {path}")
    names = ("produced", "dead_lettered", "bronze", "silver", "duplicates", "rejected")
    lines = [(name.replace("_", " "), number(getattr(expected, name))) for name in names]
    lines += [(f"  {rule}", number(count)) for rule, count in expected.rejected_by.items()]
    table(("expected", "rows"), lines, right=("rows",))
