"""Landing: Parquet files onto the dataset's topic, each row once. The guarantee is stated in docs/landing.md."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable

from orchestration.broker.admin import ensure_topics
from orchestration.broker.dead_letters import utc_text
from orchestration.broker.producer import EventProducer
from orchestration.contracts import DatasetContract
from orchestration.errors import ConfigError
from orchestration.generator.drift import check_files
from orchestration.generator.landing import Landing
from orchestration.generator.metrics import RunMetrics, write_metrics
from orchestration.generator.results import LandingResult, Progress
from orchestration.generator.sources import find_sources
from orchestration.locking import hold
from orchestration.settings import Settings

__all__ = ["LandingResult", "Progress", "land"]


def land(
    settings: Settings,
    contract: DatasetContract,
    source: str | None = None,
    *,
    again: bool = False,
    run_id: str | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    on_wait: Callable[[str], None] | None = None,
) -> list[LandingResult]:
    """Send the rows of the files behind `source` to the dataset's topic and return one result a file, sorted by path.

    Idempotent: a file that is landed is left alone, an interrupted one is completed. All files are checked against
    the contract before the first event of any. Returns when every event is acknowledged and the ledger says so.

    Args:
        source: file, folder, glob or s3:// address; None: DATA_PATH.
        again: send files that are landed once more, as new events.
        run_id: for ledger and metrics; None: a random one.
        on_progress: called about once a second and at each file's end.
        on_wait: called with a sentence if another landing of the dataset is under way.

    Raises:
        InputError: no file, not Parquet, or its schema drifted. No event was sent.
        ConfigError: a topic or setting does not fit; or it changed since the landing that is to be completed.
        BusyError: another landing of the dataset did not end in time.
        UnreachableError: broker or catalog do not answer.
        ProduceError: not every event was acknowledged. Running it again completes the landing.
        OffsetGapError: retention removed the tail of an interrupted landing.
    """
    started = time.monotonic()
    run_id = run_id or str(uuid.uuid4())
    if settings.key_field and settings.key_field not in contract.column_names:
        raise ConfigError(
            f"KEY_FIELD={settings.key_field} is no column of dataset {contract.name}",
            hint=f"columns: {', '.join(contract.column_names)}",
        )
    files = find_sources(settings, source)
    rows_of = check_files(contract, files)
    with hold(
        settings.instance_dir / "locks", f"landing.{contract.name}", wait_s=settings.lock_timeout_s, on_wait=on_wait
    ):
        main, dead = ensure_topics(settings, contract)
        results: list[LandingResult] = []
        with EventProducer(settings) as producer:
            landing = Landing(settings, contract, producer, main.name, dead.name, run_id, again, on_progress)
            for file in files:
                if landing.rows_left == 0 and results:
                    break
                results.append(landing.land_file(file, rows_of[file.path]))
    _write_metrics(settings, contract, main.name, source, run_id, results, time.monotonic() - started)
    return results


def _write_metrics(
    settings: Settings,
    contract: DatasetContract,
    topic: str,
    source: str | None,
    run_id: str,
    results: list[LandingResult],
    elapsed_s: float,
) -> None:
    events = sum(result.sent for result in results)
    write_metrics(
        settings.metrics_path,
        RunMetrics(
            events=events,
            invalid=sum(result.dead_lettered_now for result in results),
            already_there=sum(result.skipped for result in results),
            elapsed_seconds=round(elapsed_s, 3),
            events_per_second=round(events / elapsed_s, 1) if elapsed_s else 0.0,
            mode=settings.generator_mode,
            broker=settings.broker_url,
            topic=topic,
            schema_validation=settings.validate_schema,
            dataset=contract.name,
            data_path=source or settings.data_path,
            produced_at=utc_text(),
            run_id=run_id,
            files=tuple(result.path for result in results),
        ),
    )
