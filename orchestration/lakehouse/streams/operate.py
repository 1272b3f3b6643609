"""Deploy, stop, restart and upgrade the stream of a dataset: the engine's life cycle with the tables' conditions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from pyiceberg.catalog import Catalog

from orchestration.catalog import open_catalog
from orchestration.contracts import DatasetContract
from orchestration.errors import ConflictError, NotFoundError
from orchestration.flink.engine import SqlEngine, open_engine
from orchestration.flink.queries.deploy import check_slots, check_spec, run
from orchestration.flink.queries.outcome import DeployResult, Steps, StopResult
from orchestration.flink.queries.record import QueryRecord
from orchestration.flink.queries.restore import RestorePoint
from orchestration.flink.queries.start import StartOptions
from orchestration.flink.queries.states import BUSY, Desired
from orchestration.flink.queries.upgrade import stop_for_start
from orchestration.flink.queries.watch import StartRules
from orchestration.lakehouse.flink_run import Say, be_silent, only_writer
from orchestration.lakehouse.streams.definition import stream_name, stream_spec
from orchestration.lakehouse.streams.owner import StreamPresence, find_stream
from orchestration.lakehouse.streams.start import choose_start, create_tables, require_fitting, set_start_offsets
from orchestration.naming import bronze_job, silver_job
from orchestration.settings import Settings

LATEST, FRESH = "latest", "fresh"
_STABLE_S = 1.0


@dataclass(frozen=True)
class StreamResult:
    """What an operation left behind.

    Attributes:
        action: `adopted`, `started`, `upgraded`.
        restored_from: savepoint or checkpoint; None: a fresh start.
        start_offsets: of a fresh start: partition to the first offset that is read.
    """

    name: str
    action: str
    state: str
    job_id: str
    job_name: str
    url: str
    generation: int
    restored_from: str | None = None
    start_offsets: dict[int, int] = field(default_factory=dict[int, int])
    warnings: tuple[str, ...] = ()


def deploy_stream(settings: Settings, contract: DatasetContract, say: Say = be_silent) -> StreamResult:
    """Bring the stream to its declaration: adopt a job that runs, start one that is missing. Idempotent.

    A missing job continues from the newest state of the last one, if the tables still stand where that state left
    them; else it starts fresh, from the offsets that bronze holds.

    Raises:
        ConflictError: two jobs are alive, another definition runs (`upgrade_stream`), or a process is at work on it.
        BusyError: a batch run writes the tables.
        OffsetGapError: retention removed records that were never loaded.
        JobFailedError, JobTimeoutError, StatementError, UnreachableError: as the engine's deploy; nothing runs.
    """
    with _Operation.open(settings, contract, say) as operation:
        return operation.deploy()


def heal_stream(
    settings: Settings, contract: DatasetContract, hung_job: str | None = None, say: Say = be_silent
) -> StreamResult | None:
    """Deploy a stream again that is down, if it still is to run. Idempotent: a job that lives is left alone.

    Args:
        hung_job: id of a job that makes no checkpoints: canceled first, if it still is the stream's.

    Returns:
        None: it was stopped meanwhile, or runs.

    Raises: as `deploy_stream`.
    """
    with _Operation.open(settings, contract, say) as operation:
        return operation.heal(hung_job)


def restart_stream(
    settings: Settings, contract: DatasetContract, from_: str = LATEST, say: Say = be_silent
) -> StreamResult:
    """Start the stream again; one that runs is stopped first, with a savepoint unless the start is fresh.

    Args:
        from_: `latest`, `fresh`, or the path of a savepoint or checkpoint.

    Raises:
        ConflictError: the state at that path does not fit the tables. NotFoundError: it is not there.
        Others as `deploy_stream`.
    """
    with _Operation.open(settings, contract, say) as operation:
        return operation.restart(from_)


def upgrade_stream(settings: Settings, contract: DatasetContract, say: Say = be_silent) -> StreamResult:
    """Bring a stream that runs to today's declaration: stop with savepoint, start the new SQL from it.

    When the new job does not make a checkpoint in time, the old one runs again from the same savepoint. A stream that
    does not run is deployed.

    Raises: as the engine's upgrade.
    """
    with _Operation.open(settings, contract, say) as operation:
        return operation.upgrade()


def stop_stream(settings: Settings, contract: DatasetContract, say: Say = be_silent) -> StopResult:
    """Stop the stream with a savepoint. One that does not run stays as it is; either way batch runs may write again.

    Raises:
        NotFoundError: it was never deployed.
        FlinkError: no savepoint could be made; the job goes on.
    """
    with open_engine(settings) as engine:
        presence = find_stream(settings, contract, engine.registry, engine.rest)
        if presence.record is None:
            raise NotFoundError(f"stream {presence.name} was never deployed", hint="`millrace stream deploy` starts it")
        _ = presence.job
        return engine.stop(presence.record.id, "savepoint", on_progress=say)


class _Operation:
    """One operation, with the tables' locks held."""

    def __init__(self, engine: SqlEngine, catalog: Catalog, contract: DatasetContract, say: Say) -> None:
        self._engine, self._catalog, self._contract, self._say = engine, catalog, contract, say
        self._settings = engine.settings
        self._spec = stream_spec(engine.settings, contract)

    @classmethod
    @contextmanager
    def open(cls, settings: Settings, contract: DatasetContract, say: Say) -> Iterator[_Operation]:
        settings.require_writable_catalog()
        with (
            only_writer(settings, contract.tables.bronze, bronze_job(contract.name), say),
            only_writer(settings, contract.tables.silver, silver_job(contract.name), say),
            open_engine(settings) as engine,
        ):
            engine.probe()
            yield cls(engine, open_catalog(settings), contract, say)

    def deploy(self) -> StreamResult:
        presence = self._presence()
        if presence.job is not None:
            return self._adopt(presence)
        start = choose_start(self._engine, self._catalog, self._contract, presence.record)
        return self._start(presence.record, start.restore, start.reason)

    def heal(self, hung_job: str | None) -> StreamResult | None:
        presence = self._presence()
        record, job = presence.record, presence.job
        if record is None or record.desired is not Desired.RUNNING:
            self._say(f"stream {presence.name} is not to run any more: left as it is")
            return None
        if job is not None and job.id != hung_job:
            self._say(f"stream {presence.name} runs as job {job.id}: left as it is")
            return None
        if job is not None:
            # It makes no checkpoint, so no savepoint either.
            record, _ = stop_for_start(self._engine, record, "cancel", Steps(self._say))
        start = choose_start(self._engine, self._catalog, self._contract, record)
        return self._start(record, start.restore, start.reason)

    def restart(self, from_: str) -> StreamResult:
        presence = self._presence()
        record = presence.record
        named = None
        if from_ not in (LATEST, FRESH):
            # Refused before anything is stopped.
            newest = record.job_id if record is not None else None
            named = require_fitting(self._catalog, self._contract, from_, newest_job=newest)
        if presence.job is not None and record is not None:
            steps = Steps(self._say)
            record, left = stop_for_start(self._engine, record, "cancel" if from_ == FRESH else "savepoint", steps)
            if named is not None and left is not None and left.path != named.path:
                # The stop committed what came after the state that was named.
                newest = record.job_id
                named = self._refit(record, left, from_, newest)
        if from_ == FRESH:
            return self._start(record, None, None)
        if named is not None:
            return self._start(record, named, None)
        start = choose_start(self._engine, self._catalog, self._contract, record)
        return self._start(record, start.restore, start.reason)

    def _refit(self, record: QueryRecord, left: RestorePoint, path: str, newest: str | None) -> RestorePoint:
        try:
            return require_fitting(self._catalog, self._contract, path, newest_job=newest)
        except ConflictError:
            self._say("that state does not fit any more: going on from where the stream was stopped")
            self._start(record, left, None)
            raise

    def upgrade(self) -> StreamResult:
        presence = self._presence()
        if presence.job is None:
            return self.deploy()
        if presence.record is None:
            return self._adopt(presence)
        is_same = presence.record.spec_hash == self._spec.spec_hash
        result = self._engine.upgrade(self._spec, stable_for_s=_STABLE_S, on_progress=self._say)
        return self._result(result, "adopted" if is_same else "upgraded", {})

    def _presence(self) -> StreamPresence:
        """Return what there is, after what a process that died left undone was repaired."""
        engine = self._engine
        presence = find_stream(self._settings, self._contract, engine.registry, engine.rest)
        is_stale = presence.record is not None and presence.record.state in BUSY
        if is_stale or (presence.jobs and presence.record is None):
            engine.reconcile(recover=presence.record is None)
            presence = find_stream(self._settings, self._contract, engine.registry, engine.rest)
        record, job = presence.record, presence.job
        if job is not None and (record is None or record.job_id != job.id):
            raise ConflictError(
                f"job {job.id} ({job.name}) feeds the tables of {self._contract.name}, and the registry does not know "
                "it as the stream's",
                hint=f"cancel it with `millrace jobs cancel {job.id}`, then deploy: bronze stays exact",
            )
        return presence

    def _adopt(self, presence: StreamPresence) -> StreamResult:
        record = presence.record
        if record is not None and record.spec is not None and record.spec_hash != self._spec.spec_hash:
            raise ConflictError(
                f"stream {presence.name} runs with another definition, as job {record.job_id}",
                hint="bring it to the contract and settings of today with `millrace stream upgrade`",
            )
        return self._result(self._engine.deploy(self._spec, on_progress=self._say), "adopted", {})

    def _start(self, record: QueryRecord | None, restore: RestorePoint | None, reason: str | None) -> StreamResult:
        steps = Steps(self._say)
        engine = self._engine
        check_spec(self._spec, steps)
        check_slots(engine, self._spec, steps, is_required=False)
        if reason is not None:
            steps.warn(f"a fresh start, from the offsets that bronze holds: {reason}")
        with steps.step("tables", "creating the tables that are missing"):
            create_tables(engine, self._catalog, self._contract)
        offsets: dict[int, int] = {}
        if restore is None:
            with steps.step("offsets", "setting the consumer group to the offsets that bronze holds"):
                offsets = set_start_offsets(self._settings, self._catalog, self._contract, self._say)
        rules = StartRules(_STABLE_S, self._settings.sql_engine_start_timeout_s)
        result = run(engine, record, self._spec, restore, StartOptions(rules, needs_checkpoint=True), steps)
        return self._result(result, "started", offsets)

    def _result(self, result: DeployResult, action: str, offsets: dict[int, int]) -> StreamResult:
        return StreamResult(
            name=stream_name(self._contract.name),
            action=action,
            state=result.state,
            job_id=result.job_id,
            job_name=result.job_name,
            url=result.url,
            generation=result.generation,
            restored_from=result.restored_from,
            start_offsets=offsets,
            warnings=result.warnings,
        )
