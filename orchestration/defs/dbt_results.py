"""What became of dbt's nodes, as Dagster shows it. Pure functions."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

import dagster as dg

from orchestration.defs.dbt_lineage import Lineage
from orchestration.defs.dbt_nodes import DbtCheck
from orchestration.errors import CheckFailedError

if TYPE_CHECKING:
    from orchestration.dbt_plugin.runner import DbtNode, DbtRun

_SHOWN_FAILURES = 5


def is_built(node: DbtNode) -> bool:
    """Whether a model or seed stands as it should after the run; `no-op` is one that did not have to be built."""
    return node.status in ("success", "no-op", "reused")


def node_metadata(node: DbtNode, rows: int | None, lineage: Lineage | None = None) -> dict[str, dg.MetadataValue]:
    """Return the numbers of a built model or seed, and where its columns come from."""
    rows = node.metadata.get("rows", rows)
    return {
        **(lineage_metadata(lineage) if lineage else {}),
        **{
            name: dg.MetadataValue.int(node.metadata[name])
            for name in ("rows_written", "attempts")
            if name in node.metadata
        },
        # As text: the browser would round them.
        **{
            name: dg.MetadataValue.text(str(value))
            for name, value in node.metadata.items()
            if name.startswith("snapshot_")
        },
        **({"notice": dg.MetadataValue.text(node.metadata["notice"])} if node.metadata.get("notice") else {}),
        **({} if rows is None else {"dagster/row_count": dg.MetadataValue.int(rows)}),
        "seconds": dg.MetadataValue.float(round(node.duration_s, 3)),
        "status": dg.MetadataValue.text(node.message or node.status),
        "dbt_node": dg.MetadataValue.text(node.unique_id),
    }


def lineage_metadata(lineage: Lineage) -> dict[str, dg.MetadataValue]:
    """Return what Dagster draws the lineage of columns from."""
    deps = {
        column: [dg.TableColumnDep(asset_key=dg.AssetKey(key), column_name=name) for key, name in parents]
        for column, parents in lineage.items()
    }
    return {"dagster/column_lineage": dg.MetadataValue.column_lineage(dg.TableColumnLineage(deps))}


def check_result(check: DbtCheck, node: DbtNode) -> dg.AssetCheckResult:
    """Return the outcome of a test."""
    return dg.AssetCheckResult(
        passed=node.status == "pass",
        asset_key=dg.AssetKey(check.key),
        check_name=check.name,
        severity=dg.AssetCheckSeverity.WARN if node.status == "warn" else dg.AssetCheckSeverity.ERROR,
        description=node.message,
        metadata={
            "status": node.status,
            "seconds": round(node.duration_s, 3),
            **({} if node.failures is None else {"rows_that_break_it": node.failures}),
        },
    )


def describe(node: DbtNode) -> str:
    """Return one line about a node that ended."""
    reason = f": {telling_line(node)}" if node.is_failed or node.status == "warn" else ""
    return f"{node.unique_id} {node.status} in {node.duration_s:.2f} s{reason}"


def is_worth_a_line(node: DbtNode) -> bool:
    """Whether a node is logged: each line is a row in Dagster's database, and tests that pass are many."""
    return node.is_failed or node.status == "warn" or (node.resource_type != "test" and is_built(node))


def raise_failed(run: DbtRun) -> None:
    """Do nothing after a success.

    Raises:
        CheckFailedError: names what failed, in one line.
        MillraceError: the catalog or the store refused a node, or is away; the latter is tried again.
    """
    if run.is_success:
        return
    if run.refusal is not None:
        raise run.refusal
    names = [f"{_name(node.unique_id)}: {telling_line(node)}" for node in run.failed]
    more = f"; and {len(names) - _SHOWN_FAILURES} more" if len(names) > _SHOWN_FAILURES else ""
    raise CheckFailedError(
        f"dbt {run.command}: {len(names)} nodes failed: {'; '.join(names[:_SHOWN_FAILURES])}{more}",
        hint="`millrace duckdb` looks into the tables",
    )


def find(nodes: Collection[DbtNode], unique_id: str) -> DbtNode | None:
    """Return the outcome of a node, None if dbt did not get to it."""
    return next((node for node in nodes if node.unique_id == unique_id and node.status != "skipped"), None)


def telling_line(node: DbtNode) -> str:
    """Return the line of dbt's message that says why; its first one only repeats which node it speaks of."""
    lines = [line.strip() for line in (node.message or node.status).splitlines() if line.strip()]
    return next((line for line in lines if " Error in " not in line), lines[0] if lines else node.status)


def _name(unique_id: str) -> str:
    """Return the name within an id such as `test.project.name.hash`."""
    parts = unique_id.split(".")
    return parts[2] if len(parts) > 2 else unique_id
