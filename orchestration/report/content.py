"""What the report says, collected from the current tables: no run is needed for it, and none is started."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from orchestration.contracts import DatasetContract
from orchestration.dbt_plugin.gold import connect_gold, mart_table
from orchestration.lakehouse.freshness import LayerState, read_layers
from orchestration.report.accounting import Accounting, read_accounting
from orchestration.report.marts import PLOTTED, read_plot
from orchestration.report.plots import Plot
from orchestration.report.runs import RunLine
from orchestration.report.tables import TableFacts, read_tables
from orchestration.settings import Settings


@dataclass(frozen=True)
class Report:
    """All that the page shows.

    Attributes:
        descriptions: quality rule to what it means.
        mart_names: model to the name that people query it by.
        runs: the last ones, newest first; empty: nobody ran Dagster on this instance.
    """

    dataset: str
    instance: str
    written_at: datetime
    plots: tuple[Plot, ...]
    accounting: Accounting
    descriptions: dict[str, str]
    layers: tuple[LayerState, ...]
    tables: tuple[TableFacts, ...]
    mart_names: dict[str, str]
    runs: tuple[RunLine, ...] = ()

    def plot(self, name: str) -> Plot:
        """Return a plot by its name."""
        return next(plot for plot in self.plots if plot.name == name)

    def as_dict(self) -> dict[str, Any]:
        """Return the report as JSON values; snapshot ids as text, since JSON numbers lose digits in many programs."""
        return {
            "dataset": self.dataset,
            "instance": self.instance,
            "written_at": self.written_at.isoformat(),
            "plots": {
                plot.name: {
                    "summary": plot.summary,
                    "columns": [column.title for column in plot.columns],
                    "rows": [[_plain(value) for value in row] for row in plot.rows],
                }
                for plot in self.plots
            },
            "accounting": {
                "state": self.accounting.state,
                "equations": [
                    {
                        "total": asdict(equation.total),
                        "parts": [asdict(part) for part in equation.parts],
                        "gap": equation.gap,
                        "state": equation.state,
                    }
                    for equation in self.accounting.equations
                ],
                "rejected_by": {part.name: part.rows for part in self.accounting.rejected_by},
            },
            "layers": [_plain_values(asdict(layer)) for layer in self.layers],
            "tables": [
                _plain_values(asdict(table))
                | {"snapshot_id": str(table.snapshot_id) if table.snapshot_id is not None else None}
                for table in self.tables
            ],
            "runs": [_plain_values(asdict(run)) for run in self.runs],
        }


def collect_report(
    settings: Settings, contract: DatasetContract, runs: Sequence[RunLine] = (), *, now: datetime | None = None
) -> Report:
    """Read the marts, count every layer, and look at the tables.

    Raises:
        UnreachableError: the broker or the catalog does not answer.
        CatalogError: the catalog refuses, or a data file cannot be read.
        BusyError: another process writes the local gold file.
    """
    with connect_gold(settings) as connection:
        plots = tuple(read_plot(connection, settings, model) for model in PLOTTED)
    layers = tuple(read_layers(settings, contract))
    return Report(
        dataset=contract.name,
        instance=settings.instance,
        written_at=now or datetime.now(UTC),
        plots=plots,
        accounting=read_accounting(settings, contract, layers),
        descriptions={rule.name: rule.description for rule in contract.quality_rules},
        layers=layers,
        tables=tuple(read_tables(settings, contract)),
        mart_names={model: mart_table(settings, model) for model in PLOTTED},
        runs=tuple(runs),
    )


def _plain_values(values: dict[str, Any]) -> dict[str, Any]:
    return {name: _plain(value) for name, value in values.items()}


def _plain(value: object) -> object:
    if isinstance(value, datetime | date):
        return value.isoformat()
    return float(value) if isinstance(value, Decimal) else value
