"""The schedule that keeps silver and the marts close behind bronze."""

from __future__ import annotations

import dagster as dg

from orchestration.defs.jobs import silver_refresh

SILVER_CRON = "*/15 * * * *"

silver_schedule = dg.ScheduleDefinition(
    name="silver_refresh_schedule",
    job=silver_refresh,
    cron_schedule=SILVER_CRON,
    execution_timezone="UTC",
    description="Off until somebody turns it on: a laptop should not wake up for it.",
    default_status=dg.DefaultScheduleStatus.STOPPED,
)

SCHEDULES = (silver_schedule,)
