"""One look at the stream of a dataset: what its verdict and its healing need. Reads only."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TypeVar

from pydantic import BaseModel, ConfigDict
from pyiceberg.table import Table

from orchestration.broker.offsets import LogRange, consumer_lag, try_log_offsets
from orchestration.catalog import find_table, open_catalog
from orchestration.catalog.progress import BronzeMark, read_mark
from orchestration.catalog.snapshots import added_rows, ancestry, current_id, snapshots_after, total_rows
from orchestration.contracts import DatasetContract
from orchestration.errors import ConflictError, InputError, UnreachableError
from orchestration.flink.engine import SqlEngine, open_engine
from orchestration.flink.look import silent_gateway, watch
from orchestration.flink.monitoring.rounds import Memory, Round, Watched, go_round
from orchestration.flink.provider import FlinkBacked
from orchestration.flink.queries.holder import is_at_work
from orchestration.flink.queries.record import QueryRecord
from orchestration.flink.queries.states import Desired
from orchestration.lakehouse.streams.commits import as_commit
from orchestration.lakehouse.streams.definition import consumer_group
from orchestration.lakehouse.streams.missing import has_registry
from orchestration.lakehouse.streams.owner import find_stream
from orchestration.lakehouse.streams.verdict import Flow, FlowLimits, Sample, judge_flow, remember
from orchestration.naming import stream_name
from orchestration.settings import Settings

T = TypeVar("T")


@dataclass(frozen=True)
class StreamLook:
    """A stream that is to run, as it is now.

    Attributes:
        watched: None: a process is at work on it, or the cluster does not answer.
        submitted_at: when its newest job was submitted.
        silent: service that does not answer to what it said. Nothing can be deployed meanwhile.
    """

    name: str
    at: datetime
    watched: Watched | None = None
    flow: Flow | None = None
    submitted_at: datetime | None = None
    silent: dict[str, str] = field(default_factory=dict[str, str])


class StreamMemory(BaseModel):
    """What one round over streams must know of those before.

    Args:
        flows: name of a stream to samples of the last minutes, oldest first.
        reported: name of a stream to when its tables were last told to be up to date.
    """

    model_config = ConfigDict(frozen=True)

    round: Memory = Memory()
    flows: dict[str, tuple[Sample, ...]] = {}
    reported: dict[str, datetime] = {}


@dataclass(frozen=True)
class TableState:
    """What a table holds now."""

    name: str
    snapshot_id: int
    rows: int


def look_at_stream(settings: Settings, contract: DatasetContract, now: datetime | None = None) -> StreamLook | None:
    """Return what there is to judge; None: the stream is not to run. A service that is down is no error.

    Without a stream that is to run, nothing but the registry is asked.
    """
    at, name = now or datetime.now(UTC), stream_name(contract.name)
    if not has_registry(settings):
        return None
    with open_engine(settings) as engine:
        assert isinstance(engine, FlinkBacked)
        record = engine.registry.get(name)
        if record is None or record.name != name or record.desired is not Desired.RUNNING:
            return None
        look = StreamLook(name, at, submitted_at=record.started_at)
        if is_at_work(record.holder, record.held_until, at):
            return look
        try:
            look.silent.update(silent_gateway(engine))
            watched = _watch(engine, contract, record, at)
        except UnreachableError as error:
            return replace(look, silent={"cluster": str(error)})
    flow = Flow(at)
    if watched.reading is not None:
        reading = watched.reading
        flow = replace(flow, running_since=reading.running_since, checkpoint_interval_s=reading.checkpoint_interval_s)
    return replace(look, watched=watched, flow=_read_flow(settings, contract, flow, look.silent))


def judge_streams(looks: Sequence[StreamLook], memory: StreamMemory, settings: Settings, now: datetime) -> Round:
    """Return the verdicts on streams; the memory for the next round is `remember_streams`."""
    limits = FlowLimits(lag_records=settings.stream_max_lag_records)
    jobs: list[Watched] = []
    for look in looks:
        if look.watched is not None:
            flow, samples = look.flow, memory.flows.get(look.name, ())
            more = judge_flow(flow, samples, limits) if flow is not None else ()
            jobs.append(replace(look.watched, more=(*look.watched.more, *more)))
    silent = {service: text for look in looks for service, text in look.silent.items()}
    return go_round(jobs, memory.round, now, silent=silent)


def remember_streams(looks: Sequence[StreamLook], memory: StreamMemory, found: Round) -> StreamMemory:
    """Return what the next round must know."""
    limits = FlowLimits()
    flows = {
        look.name: remember(look.flow, memory.flows.get(look.name, ()), limits)
        if look.flow is not None
        else memory.flows.get(look.name, ())
        for look in looks
    }
    reported = {name: at for name, at in memory.reported.items() if name in flows}
    return StreamMemory(round=found.memory, flows=flows, reported=reported)


def read_tables(settings: Settings, contract: DatasetContract) -> list[TableState]:
    """Return what bronze and silver hold now; a table without data is left out.

    Raises:
        UnreachableError: the catalog does not answer.
    """
    catalog, found = open_catalog(settings), list[TableState]()
    for name in (contract.tables.bronze, contract.tables.silver):
        table = find_table(catalog, name)
        snapshot_id = current_id(table) if table is not None else None
        if snapshot_id is not None:
            found.append(TableState(name, snapshot_id, total_rows(table)))
    return found


def _watch(engine: SqlEngine, contract: DatasetContract, record: QueryRecord, at: datetime) -> Watched:
    presence = find_stream(engine.settings, contract, engine.registry, engine.rest)
    try:
        _ = presence.job
    except ConflictError as error:
        return Watched(record.name, record.job_id, failure=error.message, failure_code="two_jobs")
    view = engine.status(record.id)
    assert isinstance(engine, FlinkBacked)
    watched = watch(view, at, engine)
    if watched is not None:
        return watched
    # It ended by itself or by a stop that is not ours, or whoever was at work on it died.
    text = f"it is {view.state.value} and is to run"
    return Watched(record.name, view.job_id, view.url, failure=text, failure_code="cut_off")


def _read_flow(settings: Settings, contract: DatasetContract, flow: Flow, silent: dict[str, str]) -> Flow:
    """Add what broker and catalog say; what does not answer is noted in `silent`."""

    def ask(service: str, read: Callable[[], T]) -> T | None:
        if service in silent:
            return None
        try:
            return read()
        except UnreachableError as error:
            silent[service] = str(error)
        except InputError:
            pass  # no topic yet
        return None

    lag = ask("broker", lambda: consumer_lag(settings, consumer_group(contract.name), contract.topic)) or []
    dead = ask("broker", lambda: try_log_offsets(settings, contract.dlq_topic)) or {}
    logs = ask("broker", lambda: try_log_offsets(settings, contract.topic)) or {}
    bronze = ask("catalog", lambda: find_table(open_catalog(settings), contract.tables.bronze))
    behind = [one.lag_records for one in lag]
    read = {one.partition: one.committed for one in lag if one.committed is not None}
    return replace(
        flow,
        lag_records=sum(filter(None, behind)) if behind and None not in behind else None,
        committed_at=newest_commit_at(bronze) if bronze is not None else None,
        dead_letters=sum(log.end for log in dead.values()) if "broker" not in silent else None,
        dropped=count_dropped(bronze, read, logs) if bronze is not None and read else None,
        audited=_audited(bronze) if bronze is not None else "",
    )


def _audited(bronze: Table) -> str:
    mark = read_mark(bronze, BronzeMark)
    offsets = sorted(mark.next_offsets.items()) if mark is not None else []
    return ",".join(f"{partition}:{offset}" for partition, offset in offsets)


def newest_commit_at(bronze: Table) -> datetime | None:
    """Return when a stream last committed to a table; None: not in the history that is kept."""
    for snapshot in ancestry(bronze):
        if as_commit(snapshot) is not None:
            return datetime.fromtimestamp(snapshot.timestamp_ms / 1000, UTC)
    return None


def count_dropped(bronze: Table, read: dict[int, int], logs: dict[int, LogRange]) -> int | None:
    """Return how many records at least were read since the last audit and gave no row; None: it cannot be told.

    Exact when the stream is at rest. While it loads, rows that are committed before their offsets hide some.

    Args:
        read: partition to the offset up to which the stream has read, by its consumer group.
    """
    mark = read_mark(bronze, BronzeMark) or BronzeMark()
    newer = snapshots_after(bronze, mark.snapshot_id)
    if newer is None:
        return None
    starts = {partition: mark.next_offsets.get(partition, log.start) for partition, log in logs.items()}
    records = sum(max(offset - starts.get(partition, offset), 0) for partition, offset in read.items())
    return max(records - added_rows(newer), 0)
