"""What a mart shows beside its numbers: its first rows, and a plot where that says more."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

import dagster as dg

from orchestration.defs.dbt_nodes import DbtAsset, Key
from orchestration.errors import MillraceError

if TYPE_CHECKING:
    from orchestration.dbt_plugin.query import QueryResult
    from orchestration.report.plots import Plot
    from orchestration.settings import Settings

Metadata = dict[str, dg.MetadataValue]

ROWS = 8


def try_previews(settings: Settings, built: Collection[DbtAsset], say: Callable[[str], None]) -> Mapping[Key, Metadata]:
    """Return the previews, or say why there are none: the marts stand, and no picture is worth a failed run."""
    try:
        return read_previews(settings, built)
    except MillraceError as error:
        say(f"no previews: {error}")
        return {}


def read_previews(settings: Settings, built: Collection[DbtAsset]) -> Mapping[Key, Metadata]:
    """Return the previews of the marts among models that were built; none of other models.

    Raises:
        MillraceError: the marts cannot be read.
    """
    marts = [asset for asset in built if asset.layer == "marts"]
    if not marts:
        return {}
    from orchestration.dbt_plugin.gold import connect_gold
    from orchestration.report.marts import PLOTTED, read_first_rows, read_plot

    previews: dict[Key, Metadata] = {}
    with reading_gold(settings), connect_gold(settings) as connection:
        for mart in marts:
            # Sorting a table that grows for ever would read all of it.
            is_sorted = "incremental" not in mart.materialized
            shown = rows_metadata(read_first_rows(connection, settings, mart.name, ROWS, is_sorted=is_sorted))
            if mart.name in PLOTTED:
                shown |= plot_metadata(read_plot(connection, settings, mart.name))
            previews[mart.key] = shown
    return previews


def reading_gold(settings: Settings) -> AbstractContextManager[None]:
    """Hold off writers of a local gold file: while dbt has it open, DuckDB opens it for nobody else."""
    from orchestration.locking import hold

    if settings.gold_target == "iceberg":
        return nullcontext()
    return hold(settings.instance_dir / "locks", "gold", wait_s=settings.lock_timeout_s)


def rows_metadata(result: QueryResult) -> Metadata:
    """Return rows as a table; what Dagster has no type for (dates, decimals) as text."""
    from orchestration.dbt_plugin.query import to_text

    def plain(value: object) -> str | int | float | bool | None:
        return value if value is None or isinstance(value, bool | int | float | str) else to_text(value)

    schema = dg.TableSchema(
        [dg.TableColumn(name, kind.lower()) for name, kind in zip(result.columns, result.types, strict=True)]
    )
    records = [
        dg.TableRecord({name: plain(value) for name, value in zip(result.columns, row, strict=True)})
        for row in result.rows
    ]
    return {"first_rows": dg.MetadataValue.table(records, schema=schema)}


def plot_metadata(plot: Plot) -> Metadata:
    """Return a plot as Dagster's interface shows it: its Markdown drops SVG elements, but takes pictures by address."""
    from orchestration.report.drawing import draw_data_uri

    if plot.is_empty:
        return {"plot": dg.MetadataValue.text("no rows")}
    return {
        "plot": dg.MetadataValue.md(f"![{plot.title}]({draw_data_uri(plot)})"),
        "plot_says": dg.MetadataValue.text(plot.summary),
    }
