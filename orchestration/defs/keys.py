"""Keys, pools, owners and tags of assets, from the contract."""

from __future__ import annotations

import dagster as dg

from orchestration.contracts import DatasetContract
from orchestration.flink.queries.names import safe_name
from orchestration.naming import landing_key, query_key, stream_key, table_key

GOLD_POOL = "gold"


def landing_asset(contract: DatasetContract) -> dg.AssetKey:
    """Return the key of the dataset's landing."""
    return dg.AssetKey(landing_key(contract.name))


def table_asset(table: str) -> dg.AssetKey:
    """Return the key of `schema.table`."""
    return dg.AssetKey(table_key(table))


def query_asset(name: str) -> dg.AssetKey:
    """Return the key of a persistent query; two names that differ only in signs and case have the same."""
    return dg.AssetKey(query_key(safe_name(name)))


def stream_asset(dataset: str) -> dg.AssetKey:
    """Return the key of a dataset's stream."""
    return dg.AssetKey(stream_key(dataset))


def pool_of(key: dg.AssetKey) -> str:
    """Return the pool whose one slot makes a table's writers take turns."""
    return "_".join(key.path)


def owners_of(owner: str) -> list[str]:
    """Return an owner as Dagster writes it: an address as it is, anything else is a team."""
    return [owner if "@" in owner or owner.startswith("team:") else f"team:{owner}"]


def tags_of(contract: DatasetContract) -> dict[str, str]:
    """Return the tags of a dataset's assets; `tag:dataset=NAME` selects them."""
    return {"dataset": contract.name}
