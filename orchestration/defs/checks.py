"""Asset checks: the accounting equations and what gates the layers above. Judgements are pure functions.

Landing and the Flink jobs are judged in the step that ran them, by its own result. Bronze and silver are judged by
counting the tables, in one step a layer, which can also be run alone. A blocking check that fails stops the run before
the next layer; a failed check that does not block leaves the run green and the asset red.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import dagster as dg

from orchestration.contracts import DatasetContract
from orchestration.defs.failure import failures
from orchestration.defs.keys import table_asset
from orchestration.defs.resources import MillraceSettings

if TYPE_CHECKING:
    from orchestration.flink.jobs.submit import JobResult
    from orchestration.generator.results import LandingResult
    from orchestration.lakehouse.counts import Counts
    from orchestration.lakehouse.facts import KeyCounts, NullCounts
    from orchestration.settings import Settings

ERROR, WARN = dg.AssetCheckSeverity.ERROR, dg.AssetCheckSeverity.WARN

MAX_NULL_RATE = 0.05
"""Share of unknown times from which the timestamps' format is wrong rather than some rows."""


@dataclass(frozen=True)
class Check:
    """Name and purpose of a check; `is_blocking`: the next layer waits for it."""

    name: str
    description: str
    is_blocking: bool = False

    def spec(self, asset: dg.AssetKey) -> dg.AssetCheckSpec:
        """Return it as a check of `asset`."""
        return dg.AssetCheckSpec(self.name, asset=asset, description=self.description, blocking=self.is_blocking)

    def result(
        self, passed: bool, severity: dg.AssetCheckSeverity, text: str, **numbers: float | None
    ) -> dg.AssetCheckResult:
        """Return its outcome; `numbers` become metadata."""
        metadata = {name: value for name, value in numbers.items() if value is not None}
        return dg.AssetCheckResult(
            passed=passed, check_name=self.name, severity=severity, description=text, metadata=metadata
        )


ACKNOWLEDGED = Check("every_event_acknowledged", "Rows that were read = events + dead letters that the broker has")
LANDING_DEAD_LETTERS = Check("dead_letters_within_budget", "Dead letters of the files landed now <= DLQ_MAX")
LANDING_CHECKS = (ACKNOWLEDGED, LANDING_DEAD_LETTERS)

RESTARTS = Check("flink_jobs_never_restarted", "No Flink job of the last run had to recover from a failure")

BRONZE_EQUATION = Check(
    "produced_equals_bronze_plus_dead_lettered", "Every event is in bronze or a dead letter", is_blocking=True
)
BRONZE_FILLED = Check("bronze_is_not_empty", "Bronze holds rows", is_blocking=True)
BRONZE_TIMES = Check(
    "event_times_are_known", f"At most {MAX_NULL_RATE:.0%} of each time is NULL; all of them mean a wrong format", True
)
BRONZE_DEAD_LETTERS = Check(
    "dead_letters_within_budget", "Dead letters that no landing reported and no replay sent <= DLQ_MAX"
)
BRONZE_CHECKS = (BRONZE_EQUATION, BRONZE_FILLED, BRONZE_TIMES, BRONZE_DEAD_LETTERS)

SILVER_EQUATION = Check(
    "bronze_equals_silver_plus_duplicates_plus_rejected", "Every bronze row is accounted for", is_blocking=True
)
SILVER_FILLED = Check("silver_is_not_empty", "Silver holds rows, so that the models' tests mean something", True)
SILVER_KEYS = Check("surrogate_key_is_unique", "One row a surrogate key, and none without", is_blocking=True)
SILVER_CHECKS = (SILVER_EQUATION, SILVER_FILLED, SILVER_KEYS)


# --- judgements -------------------------------------------------------------------------------------------------------


def judge_landing(results: "Sequence[LandingResult]", budget: int) -> list[dg.AssetCheckResult]:
    """Judge a landing by what it read and what the broker has; a file that landed before was judged then."""
    rows = sum(result.rows for result in results)
    events = sum(result.events for result in results)
    rejected = sum(result.dead_lettered for result in results)
    missing = rows - events - rejected
    now = sum(result.dead_lettered for result in results if result.status != "already_landed")
    text = f"{rows:,} rows = {events:,} events + {rejected:,} dead letters"
    return [
        ACKNOWLEDGED.result(missing == 0, ERROR, text, rows=rows, events=events, dead_letters=rejected),
        judge_budget(LANDING_DEAD_LETTERS, now, budget),
    ]


def judge_budget(check: Check, dead_letters: int, budget: int) -> dg.AssetCheckResult:
    """Judge the number of dead letters: above the budget is an error, below it worth a look."""
    return check.result(
        dead_letters <= budget,
        ERROR if dead_letters > budget else WARN,
        f"{dead_letters:,} dead letters, DLQ_MAX is {budget:,}",
        dead_letters=dead_letters,
        dlq_max=budget,
    )


def judge_restarts(jobs: "Sequence[JobResult]", restarts: int) -> dg.AssetCheckResult:
    """Judge the restarts of jobs that finished: their result is right, but the cluster needs a look."""
    text = f"{len(jobs)} Flink jobs, {restarts} restarts" if jobs else "no Flink job was needed"
    return RESTARTS.result(restarts == 0, WARN, text, jobs=len(jobs), restarts=restarts)


def judge_bronze(
    produced: int, dead_lettered: int, nulls: "NullCounts", settings: "Settings", *, unreported: int, waiting: int
) -> list[dg.AssetCheckResult]:
    """Judge bronze, whose rows are those that the NULLs were counted in.

    Args:
        unreported: dead letters that no landing reported and no replay settled.
        waiting: records that reached the topic after the load; other producers may be at work.
    """
    late = produced - nulls.rows - dead_lettered
    is_late = 0 < late <= waiting
    text = f"{produced:,} produced = {nulls.rows:,} bronze + {dead_lettered:,} dead letters"
    if late:
        text += f": {late:+,}, which came after the load" if is_late else f" does not hold: {late:+,}"
    worst = max(nulls.nulls, key=nulls.rate, default="")
    return [
        BRONZE_EQUATION.result(
            late == 0 or is_late,
            WARN if is_late else ERROR,
            text,
            produced=produced,
            bronze=nulls.rows,
            dead_lettered=dead_lettered,
            waiting=waiting,
        ),
        _judge_filled(BRONZE_FILLED, nulls.rows, settings),
        BRONZE_TIMES.result(
            all(nulls.rate(name) <= MAX_NULL_RATE for name in nulls.nulls),
            ERROR,
            f"{worst}: {nulls.rate(worst):.2%} of {nulls.rows:,} rows are NULL" if worst else "there is no time column",
            rows=nulls.rows,
            **{f"null_rate_{name}": nulls.rate(name) for name in nulls.nulls},
        ),
        judge_budget(BRONZE_DEAD_LETTERS, unreported, settings.dlq_max),
    ]


def judge_silver(
    counts: "Counts", keys: "KeyCounts", settings: "Settings", unrefined: int | None
) -> list[dg.AssetCheckResult]:
    """Judge silver.

    Args:
        unrefined: bronze rows that came after the refresh; None: it cannot be told how many.
    """
    refined = counts.silver + counts.duplicates + counts.rejected
    gap = counts.bronze - refined
    is_late = gap != 0 and unrefined != 0
    text = (
        f"{counts.bronze:,} bronze = {counts.silver:,} silver + {counts.duplicates:,} duplicates + "
        f"{counts.rejected:,} rejected"
    )
    if gap:
        text += ": bronze grew after the refresh, the next one counts again" if is_late else f" does not hold: {gap:+,}"
    return [
        SILVER_EQUATION.result(
            gap == 0 or is_late,
            WARN if is_late else ERROR,
            text,
            bronze=counts.bronze,
            silver=counts.silver,
            duplicates=counts.duplicates,
            rejected=counts.rejected,
            unrefined=unrefined,
        ),
        _judge_filled(SILVER_FILLED, counts.silver, settings),
        SILVER_KEYS.result(
            keys.repeated == 0, ERROR, f"{keys.rows:,} rows, {keys.keys:,} keys", rows=keys.rows, keys=keys.keys
        ),
    ]


def _judge_filled(check: Check, rows: int, settings: "Settings") -> dg.AssetCheckResult:
    hint = "" if rows else " (ALLOW_EMPTY=true accepts that)"
    return check.result(rows > 0, WARN if settings.allow_empty else ERROR, f"{rows:,} rows{hint}", rows=rows)


# --- looking ----------------------------------------------------------------------------------------------------------


def count_restarts(settings: "Settings", jobs: "Sequence[JobResult]") -> int:
    """Return how often finished jobs recovered from a failure.

    Flink's `numRestarts` is a metric and goes with the job; its exception history stays, one entry a recovery.
    """
    from orchestration.flink.client.connection import http_options
    from orchestration.flink.client.failures import JobNotFoundError
    from orchestration.flink.client.rest import FlinkRest

    restarts = 0
    if not jobs:
        return restarts
    with FlinkRest(settings.flink_rest_url, timeout_s=settings.http_timeout_s, options=http_options(settings)) as rest:
        for job in jobs:
            try:
                restarts += len(rest.job_exceptions(job.job_id).history.entries)
            except JobNotFoundError:
                # The JobManager was restarted right after the job: one recovery that nobody can look up any more.
                restarts += 1
    return restarts


def build_checks(contract: DatasetContract) -> list[dg.AssetChecksDefinition]:
    """Return the checks that count a dataset's tables, one step a layer."""
    dataset = contract.name
    bronze, silver = table_asset(contract.tables.bronze), table_asset(contract.tables.silver)

    @dg.multi_asset_check(name=f"{dataset}_bronze_checks", specs=[check.spec(bronze) for check in BRONZE_CHECKS])
    def check_bronze(
        context: dg.AssetCheckExecutionContext, millrace: MillraceSettings
    ) -> Iterator[dg.AssetCheckResult]:
        with failures(context.retry_number):
            from orchestration.lakehouse.counts import count_produced
            from orchestration.lakehouse.facts import count_nulls, count_reported, count_waiting, time_columns

            settings, active = millrace.of(dataset)
            produced, dead_lettered = count_produced(settings, active)
            nulls = count_nulls(settings, active, time_columns(active))
            unreported = dead_lettered - count_reported(settings, active)
            waiting = 0 if produced == nulls.rows + dead_lettered else count_waiting(settings, active)
        yield from judge_bronze(produced, dead_lettered, nulls, settings, unreported=unreported, waiting=waiting)

    @dg.multi_asset_check(name=f"{dataset}_silver_checks", specs=[check.spec(silver) for check in SILVER_CHECKS])
    def check_silver(
        context: dg.AssetCheckExecutionContext, millrace: MillraceSettings
    ) -> Iterator[dg.AssetCheckResult]:
        with failures(context.retry_number):
            from orchestration.lakehouse.counts import count_layers
            from orchestration.lakehouse.facts import count_keys, count_unrefined

            settings, active = millrace.of(dataset)
            counts = count_layers(settings, active)
            keys = count_keys(settings, active)
            holds = counts.bronze == counts.silver + counts.duplicates + counts.rejected
            unrefined = 0 if holds else count_unrefined(settings, active)
        yield from judge_silver(counts, keys, settings, unrefined)

    return [check_bronze, check_silver]
