"""The assets: landing, bronze and silver of every dataset in `platform/datasets`, the dbt models, the report."""

from __future__ import annotations

from collections.abc import Iterable

import dagster as dg

from orchestration.contracts import DatasetContract
from orchestration.defs.assets.bronze import build_bronze
from orchestration.defs.assets.gold import build_gold
from orchestration.defs.assets.landing import build_landing
from orchestration.defs.assets.report import build_report
from orchestration.defs.assets.silver import build_silver
from orchestration.defs.dbt_nodes import DbtProject


def build_assets(contracts: Iterable[DatasetContract], project: DbtProject) -> list[dg.AssetsDefinition]:
    """Return all assets of the code location."""
    contracts = list(contracts)
    return [
        *(build(contract) for contract in contracts for build in (build_landing, build_bronze, build_silver)),
        build_gold(project),
        build_report(contracts, project),
    ]
