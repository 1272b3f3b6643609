"""The jobs. Steps run in the process of the run: a process for each would cost more than the work in it."""

from __future__ import annotations

import dagster as dg

from orchestration.defs.failure import say_why
from orchestration.naming import BATCH_JOB, SILVER_JOB

_FROM_SILVER = dg.AssetSelection.groups("silver", "gold")
_ALL = dg.AssetSelection.groups("landing", "bronze", "silver", "gold")

lakehouse_batch = dg.define_asset_job(
    BATCH_JOB,
    selection=_ALL,
    description="Files to topic to bronze to silver to marts, each layer checked before the next. Safe to repeat. "
    "Without a partition it lands all files of DATA_PATH, with one the files of that month.",
    executor_def=dg.in_process_executor,
    hooks={say_why},
    tags={"millrace/job": "batch"},
)

silver_refresh = dg.define_asset_job(
    SILVER_JOB,
    selection=_FROM_SILVER,
    description="Silver from the bronze snapshots that it has not seen, then the marts.",
    executor_def=dg.in_process_executor,
    hooks={say_why},
    tags={"millrace/job": "refresh"},
)

JOBS = (lakehouse_batch, silver_refresh)
