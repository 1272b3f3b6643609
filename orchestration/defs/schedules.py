"""The schedules: silver and the marts close behind bronze, and the registry of queries true."""

from __future__ import annotations

import dagster as dg

from orchestration.defs.jobs import query_reconcile, silver_refresh

SILVER_CRON = "*/15 * * * *"
RECONCILE_CRON = "*/5 * * * *"

silver_schedule = dg.ScheduleDefinition(
    name="silver_refresh_schedule",
    job=silver_refresh,
    cron_schedule=SILVER_CRON,
    execution_timezone="UTC",
    description="Off until somebody turns it on: a laptop should not wake up for it.",
    default_status=dg.DefaultScheduleStatus.STOPPED,
)

reconcile_schedule = dg.ScheduleDefinition(
    name="query_reconcile_schedule",
    job=query_reconcile,
    cron_schedule=RECONCILE_CRON,
    execution_timezone="UTC",
    description="Off until somebody turns it on, as it is for people who keep queries running.",
    default_status=dg.DefaultScheduleStatus.STOPPED,
)

SCHEDULES = (silver_schedule, reconcile_schedule)
