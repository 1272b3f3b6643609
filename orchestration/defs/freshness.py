"""Freshness policies of bronze, silver and the marts: by when they were last brought up to date, not by event times.

The data may be years old; what counts is when it was loaded. A stream counts as a load (see stream_sensors.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta

import dagster as dg

from orchestration.contracts import DatasetContract
from orchestration.defs.keys import table_asset

MARTS = "marts"
"""First part of the keys of the models that people read."""


def policy(hours: int) -> dg.FreshnessPolicy:
    """Return the policy that fails after so many hours, and warns after three quarters of them."""
    return dg.FreshnessPolicy.time_window(fail_window=timedelta(hours=hours), warn_window=timedelta(hours=hours * 0.75))


def windows(contracts: Iterable[DatasetContract]) -> Mapping[dg.AssetKey, int]:
    """Return the hours of each table that a contract names."""
    found: dict[dg.AssetKey, int] = {}
    for contract in contracts:
        found[table_asset(contract.tables.bronze)] = contract.freshness.bronze_h
        found[table_asset(contract.tables.silver)] = contract.freshness.silver_h
    return found


def with_freshness(
    assets: Sequence[dg.AssetsDefinition], contracts: Sequence[DatasetContract]
) -> list[dg.AssetsDefinition]:
    """Return the assets with their policies; a mart that several datasets feed has the shortest window."""
    hours = windows(contracts)
    marts_h = min((contract.freshness.marts_h for contract in contracts), default=None)

    def apply(spec: dg.AssetSpec) -> dg.AssetSpec:
        window_h = hours.get(spec.key) or (marts_h if spec.key.path[0] == MARTS else None)
        return spec if window_h is None else spec.replace_attributes(freshness_policy=policy(window_h))

    return [definition.map_asset_specs(apply) for definition in assets]
