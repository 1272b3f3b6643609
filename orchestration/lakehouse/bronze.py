"""Bronze: the records of the topic that the table does not hold yet, in one commit.

Order of a run, and why a kill after any step loses and duplicates nothing:

1. Take the lock; wait for a job of ours that a killed run left behind.
2. Read where the table stands: the mark, moved behind the rows of snapshots that came after it.
3. Check the records that no ledgered landing vouches for; dead-letter the bad ones (idempotent by offset).
4. One Flink job appends the range. It commits once, at its end.
5. Look for offsets that did not arrive (tombstones and the like, also of a killed run) and dead-letter them.
6. Set the mark. Until then the next run repeats step 5, and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest

import pyarrow as pa
from pyiceberg.catalog import Catalog
from pyiceberg.table import Table

from orchestration.broker.dead_letters import NO_ROW, BadRecord, dead_letter_records
from orchestration.broker.offsets import LogRange, try_log_offsets
from orchestration.broker.read import read_range
from orchestration.broker_security import flink_broker_options
from orchestration.catalog import find_table, open_catalog
from orchestration.catalog.mend import replace_rows
from orchestration.catalog.progress import BronzeMark, write_mark
from orchestration.catalog.snapshots import current_id, read_appended, total_rows
from orchestration.contracts import DatasetContract
from orchestration.errors import CatalogError, JobFailedError
from orchestration.flink.client.rest import FlinkRest
from orchestration.flink.engine import open_engine
from orchestration.flink.jobs.submit import JobResult
from orchestration.generator.ledger import Ledger
from orchestration.lakehouse.flink_run import Say, be_silent, only_writer, run_insert
from orchestration.lakehouse.malformed import find_malformed
from orchestration.lakehouse.offsets import find_missing, merge_runs, plan_ranges, subtract, vouched_ranges
from orchestration.lakehouse.position import LINEAGE, bronze_position
from orchestration.lakehouse.statements import create_bronze, create_source, load_bronze
from orchestration.lakehouse.streams.marks import streamed_since_mark
from orchestration.lakehouse.streams.owner import find_stream, require_no_stream
from orchestration.lakehouse.streams.settle import await_offsets
from orchestration.locking import hold
from orchestration.naming import bronze_job
from orchestration.settings import Settings

_READ_THROUGH = 10_000
"""Offsets between two missing ones that are read rather than sought over."""


@dataclass(frozen=True)
class BronzeResult:
    """What a bronze run did.

    Attributes:
        rows: rows added; 0 if there was nothing to load.
        total_rows: rows of the table afterwards.
        dead_lettered: records that this run moved to the dead letters.
        ranges: partition to the offsets that are accounted for by this run.
        snapshot_id: the table's snapshot afterwards; None for a table that was never written.
        jobs: the Flink jobs that ran.
    """

    table: str
    rows: int
    total_rows: int
    dead_lettered: int
    ranges: Mapping[int, LogRange]
    snapshot_id: int | None
    jobs: Sequence[JobResult] = field(default=())


def load_bronze_table(settings: Settings, contract: DatasetContract, say: Say = be_silent) -> BronzeResult:
    """Bring bronze up to the end of the topic as it stands now. Idempotent: a rerun adds no row and no snapshot.

    With MODE=streaming and a stream that runs, it waits until the stream has done so.

    Raises:
        OffsetGapError: the broker no longer holds records that were never loaded.
        BusyError: another run loads the same table.
        ConflictError: the dataset's stream writes it.
        JobFailedError, UnreachableError, CatalogError: as they say; nothing is half-written.
    """
    settings.require_writable_catalog()
    if settings.mode == "streaming":
        loaded = _await_stream(settings, contract, say)
        if loaded is not None:
            return loaded
    with only_writer(settings, contract.tables.bronze, bronze_job(contract.name), say) as rest:
        require_no_stream(settings, contract, "the batch load of bronze")
        # What a stream loaded since the mark was not checked against the contract.
        if streamed_since_mark(settings, contract):
            audit_bronze_table(settings, contract, {}, say)
        return _Load(settings, contract, rest, open_catalog(settings), say).run()


def _await_stream(settings: Settings, contract: DatasetContract, say: Say) -> BronzeResult | None:
    """Wait until the stream has passed the end of the topic; None: no stream owns the table."""
    with open_engine(settings) as engine:
        presence = find_stream(settings, contract, engine.registry, engine.rest)
        if not presence.owns_tables:
            return None
        name, job = contract.tables.bronze, presence.require_job()
        before = total_rows(find_table(open_catalog(settings), name))
        ends = {partition: log.end for partition, log in (try_log_offsets(settings, contract.topic) or {}).items()}
        say(f"waiting until stream {presence.name} has passed the end of {contract.topic}")
        settled = await_offsets(engine, contract, job.id, ends, settings.job_timeout_s)
    with hold(settings.instance_dir / "locks", name, wait_s=settings.lock_timeout_s, on_wait=say):
        audit = audit_bronze_table(settings, contract, settled.offsets, say)
    rows = total_rows(find_table(open_catalog(settings), name))
    ranges = {partition: LogRange(0, end) for partition, end in ends.items()}
    return BronzeResult(name, rows - before, rows, audit.dead_lettered, ranges, audit.snapshot_id)


@dataclass(frozen=True)
class AuditResult:
    """What an audit of streamed rows did.

    Attributes:
        dead_lettered: records that it moved to the dead letters.
        removed: rows that it took out of bronze again, because their record breaks the contract.
        snapshot_id: bronze's snapshot afterwards; None for a table that was never written.
    """

    dead_lettered: int
    removed: int
    snapshot_id: int | None


def audit_bronze_table(
    settings: Settings, contract: DatasetContract, settled: Mapping[int, int], say: Say = be_silent
) -> AuditResult:
    """Account for the records that a stream loaded since the mark: dead-letter the bad ones, and set the mark.

    The stream decodes with Flink's JSON format, which drops what is no object and nulls a field of another type. So the
    records that no landing vouches for go through the contract here, after the fact. Safe to repeat: dead letters are
    known by their offset, rows are removed by theirs, and the mark is set last. The caller is the one who audits.

    Args:
        settled: partition to the offset up to which the stream has committed, rows or not; what the rows themselves
            tell counts too.

    Raises:
        UnreachableError, CatalogError: as they say; the next audit begins at the same mark.
    """
    with FlinkRest(settings.flink_rest_url) as rest:
        return _Load(settings, contract, rest, open_catalog(settings), say).audit(settled)


class _Load:
    """One run under the lock."""

    def __init__(
        self, settings: Settings, contract: DatasetContract, rest: FlinkRest, catalog: Catalog, say: Say
    ) -> None:
        self._settings, self._contract, self._rest, self._say = settings, contract, rest, say
        self._catalog = catalog
        self._jobs: list[JobResult] = []
        self._dead_lettered = 0

    def run(self) -> BronzeResult:
        table = find_table(self._catalog, self._contract.tables.bronze)
        before = total_rows(table)
        mark, loaded_upto = bronze_position(table, self._say)
        available = try_log_offsets(self._settings, self._contract.topic) or {}
        to_load = plan_ranges(self._contract.topic, loaded_upto, available)
        to_account = {
            # Without a mark from the start of the log: a run killed before its first mark may have dead-lettered some.
            partition: LogRange(mark.next_offsets.get(partition, available[partition].start), span.end)
            for partition, span in to_load.items()
        }
        if any(span.records for span in to_load.values()):
            self._load(to_load, table)
            table = self._must_find()
        if table is not None and any(span.records for span in to_account.values()):
            self._account(table, mark, to_account)
        return BronzeResult(
            table=self._contract.tables.bronze,
            rows=total_rows(table) - before,
            total_rows=total_rows(table),
            dead_lettered=self._dead_lettered,
            ranges=to_account,
            snapshot_id=current_id(table) if table is not None else None,
            jobs=tuple(self._jobs),
        )

    def audit(self, settled: Mapping[int, int]) -> AuditResult:
        table = find_table(self._catalog, self._contract.tables.bronze)
        if table is None:
            return AuditResult(0, 0, None)
        mark, held = bronze_position(table, self._say)
        available = try_log_offsets(self._settings, self._contract.topic) or {}
        ranges: dict[int, LogRange] = {}
        for partition, log in available.items():
            start = mark.next_offsets.get(partition, log.start)
            ranges[partition] = LogRange(start, max(start, held.get(partition, start), settled.get(partition, start)))
        if not any(span.records for span in ranges.values()):
            return AuditResult(0, 0, current_id(table))
        # Retention may have been faster than the audit; what it took can be counted by its row, but not be looked at.
        kept = {p: LogRange(min(max(r.start, available[p].start), r.end), r.end) for p, r in ranges.items()}
        bad = self._find_foreign_malformed(kept)
        self._dead_letter(bad)
        removed = self._remove(table, bad)
        self._account(table, mark, ranges, bad)
        return AuditResult(self._dead_lettered, removed, current_id(table))

    def _remove(self, table: Table, bad: Sequence[BadRecord]) -> int:
        """Delete the rows of records that were dead-lettered, and return how many there were."""
        if not bad:
            return 0
        rows = [{"_kafka_partition": record.partition, "_kafka_offset": record.offset} for record in bad]
        removed = replace_rows(table, rows, pa.Table.from_pylist([], schema=table.schema().as_arrow()))
        if removed:
            self._say(f"{removed} rows break the contract: taken out of {self._contract.tables.bronze}")
        return removed

    def _load(self, ranges: Mapping[int, LogRange], table: Table | None) -> None:
        bad = self._find_foreign_malformed(ranges)
        if not bad:
            try:
                self._insert(ranges, table, {}, is_tolerant=False)
            except JobFailedError as error:
                if not _is_parse_failure(error):
                    raise
                self._say(f"a record does not parse, looking for it: {error.root_cause}")
                # None found: DuckDB reads what Flink refuses (NaN in an unknown field, a trailing comma). Such a record
                # gives no row below, and is dead-lettered as one that did not arrive.
                bad = self._inspect([(partition, span) for partition, span in ranges.items()])
            else:
                return
        self._dead_letter(bad)
        excluded: dict[int, list[int]] = {}
        for record in bad:
            excluded.setdefault(record.partition, []).append(record.offset)
        self._insert(ranges, table, excluded, is_tolerant=True)

    def _insert(
        self,
        ranges: Mapping[int, LogRange],
        table: Table | None,
        excluded: Mapping[int, Sequence[int]],
        *,
        is_tolerant: bool,
    ) -> None:
        records = sum(span.records for span in ranges.values())
        self._say(f"loading {records:,} records of {self._contract.topic} into {self._contract.tables.bronze}")
        contract = self._contract
        self._jobs.append(
            run_insert(
                self._settings,
                contract,
                self._rest,
                name=bronze_job(contract.name),
                tables={
                    "bronze": create_bronze(contract),
                    "source": create_source(
                        contract,
                        ranges,
                        flink_broker_options(self._settings),
                        is_tolerant=is_tolerant,
                    ),
                },
                insert=load_bronze(contract, excluded),
                state=f"{table.metadata.table_uuid if table else ''}|{current_id(table) if table else ''}|"
                f"{[(partition, span.start) for partition, span in sorted(ranges.items())]}",
            )
        )

    def _account(
        self, table: Table, mark: BronzeMark, ranges: Mapping[int, LogRange], removed: Sequence[BadRecord] = ()
    ) -> None:
        """Dead-letter what did not arrive, and set the mark.

        Args:
            removed: records that were dead-lettered although they had arrived.
        """
        landed = read_appended(table, LINEAGE, after=mark.snapshot_id)
        missing = find_missing(self._contract.tables.bronze, ranges, landed)
        count = sum(len(offsets) for offsets in missing.values())
        places = {(record.partition, record.offset) for record in removed}
        if count:
            self._say(f"{count} records did not become rows: dead-lettering them")
            records = self._records(missing)
            self._dead_letter(records)
            places |= {(record.partition, record.offset) for record in records}
        write_mark(
            table,
            BronzeMark(
                snapshot_id=current_id(table),
                next_offsets={partition: span.end for partition, span in ranges.items()},
                dead_lettered=mark.dead_lettered + len(places),
            ),
        )

    def _records(self, missing: Mapping[int, Sequence[int]]) -> list[BadRecord]:
        """Read the records at `missing` offsets, each with its reason; an offset that holds no record gives none."""
        spans = [(p, span) for p, offsets in missing.items() for span in merge_runs(offsets, _READ_THROUGH)]
        known = {(record.partition, record.offset): record for record in self._inspect(spans)}
        wanted = {(partition, offset) for partition, offsets in missing.items() for offset in offsets}
        found: list[BadRecord] = []
        for batch in self._raw(spans):
            columns = (batch.column(name).to_pylist() for name in ("partition", "offset", "value"))
            for partition, offset, value in zip(*columns, strict=True):
                if (partition, offset) in wanted:
                    record = BadRecord(partition, offset, value, NO_ROW)
                    found.append(known.get((partition, offset), record))
        return found

    def _find_foreign_malformed(self, ranges: Mapping[int, LogRange]) -> list[BadRecord]:
        """Check the records that the generator did not produce; it validated its own before it sent them."""
        if not self._settings.validate_schema:
            return []
        entries = Ledger(self._catalog).entries(self._contract.name, self._contract.topic)
        foreign = subtract(ranges, vouched_ranges(entries, self._contract.topic))
        if foreign:
            count = sum(span.records for _, span in foreign)
            self._say(f"checking {count:,} records of other producers against the contract")
        return self._inspect(foreign)

    def _inspect(self, spans: Sequence[tuple[int, LogRange]]) -> list[BadRecord]:
        return find_malformed(self._contract, self._raw(spans)) if spans else []

    def _raw(self, spans: Sequence[tuple[int, LogRange]]) -> Iterator[pa.RecordBatch]:
        """Stream the records of `spans`: in each round one span of every partition."""
        queues: dict[int, list[LogRange]] = {}
        for partition, span in spans:
            queues.setdefault(partition, []).append(span)
        for round_ in zip_longest(*([(partition, span) for span in queue] for partition, queue in queues.items())):
            ranges = {partition: (span.start, span.end) for partition, span in filter(None, round_)}
            yield from read_range(self._settings, self._contract.topic, ranges)

    def _dead_letter(self, records: Sequence[BadRecord]) -> None:
        self._dead_lettered += dead_letter_records(self._settings, self._contract, records).written

    def _must_find(self) -> Table:
        table = find_table(self._catalog, self._contract.tables.bronze)
        if table is None:
            raise CatalogError(f"{self._contract.tables.bronze} does not exist although the job that makes it finished")
        return table


def _is_parse_failure(error: JobFailedError) -> bool:
    return "deserialize" in error.root_cause.lower() or "JsonParse" in error.root_cause
