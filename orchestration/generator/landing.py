"""Landing one file after the other: resume, send, prove, remember."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from orchestration.broker.client import open_admin
from orchestration.broker.offsets import end_offsets
from orchestration.broker.producer import EventProducer
from orchestration.contracts import DatasetContract
from orchestration.errors import OffsetGapError, ProduceError
from orchestration.generator.encode import EncodedBatch, Encoder, Events
from orchestration.generator.identity import SOURCE_HEADER, FileIdentity
from orchestration.generator.ledger import Ledger, LedgerEntry
from orchestration.generator.pacing import Pacer
from orchestration.generator.plan import Plan, Resume, Skip, Start, plan_landing
from orchestration.generator.results import LandingResult, Progress
from orchestration.generator.resume import (
    CHUNK_ROWS,
    ResumePoint,
    find_resume_points,
    leave_out_sent,
    wait_until_quiet,
)
from orchestration.generator.sources import SourceFile, read_chunks
from orchestration.settings import Settings

_PROGRESS_S = 1.0


@dataclass
class _Counts:
    rows: int = 0
    events: int = 0
    dead_lettered: int = 0
    sent: int = 0
    dead_lettered_now: int = 0


class Landing:
    """One call of `land`: the topics, the ledger, the producer, and how many rows MAX_EVENTS leaves."""

    def __init__(
        self,
        settings: Settings,
        contract: DatasetContract,
        producer: EventProducer,
        main: str,
        dead: str,
        run_id: str,
        again: bool,
        on_progress: Callable[[Progress], None] | None,
    ) -> None:
        self._settings, self._contract = settings, contract
        self._producer, self._main, self._dead = producer, main, dead
        self._run_id, self._again, self._on_progress = run_id, again, on_progress
        self._admin = open_admin(settings)
        self._ledger = Ledger.open(settings)
        self._pacer = Pacer.of(settings, flush=producer.finish)
        self._key_field = settings.key_field or contract.key_field
        self.rows_left: int | None = settings.max_events or None

    def land_file(self, file: SourceFile, total_rows: int) -> LandingResult:
        """Land one file by what the ledger knows of its content."""
        began = time.monotonic()
        sha256 = file.sha256()
        options = self._options()
        history = self._ledger.history(self._contract.name, self._main, sha256)
        plan = plan_landing(history, options, again=self._again, path=file.path)
        if isinstance(plan, Skip):
            self._spend(total_rows)
            return _already_landed(file, plan.entry, self._main)
        try:
            points = self._resume_points(plan, sha256)
        except OffsetGapError:
            if not self._again:
                raise
            plan, points = Start(plan.attempt + 1), {}
        starts = plan.entry.start_offsets if isinstance(plan, Resume) else self._ends()
        entry = LedgerEntry(
            dataset=self._contract.name,
            topic=self._main,
            sha256=sha256,
            attempt=plan.attempt,
            path=file.path,
            rows=total_rows,
            events=0,
            dead_lettered=0,
            partitions=self._settings.topic_partitions,
            status="started",
            options=options,
            start_offsets=starts,
            run_id=self._run_id,
        )
        if isinstance(plan, Start) and total_rows:
            self._ledger.append(entry)
        wanted = total_rows if self.rows_left is None else min(self.rows_left, total_rows)
        counts = self._send(file, FileIdentity(sha256, plan.attempt), points, wanted, total_rows)
        self._producer.finish()
        ends = self._ends()
        self._verify(ends, starts, counts)
        self._spend(counts.rows)
        is_whole = counts.rows >= total_rows
        known = history.latest
        if is_whole or known is None or known.status != "partial" or known.rows < counts.rows:
            self._ledger.append(_finished(entry, counts, ends, is_whole=is_whole))
        return LandingResult(
            path=file.path,
            sha256=sha256,
            month=file.month,
            status=("resumed" if isinstance(plan, Resume) else "landed") if is_whole else "partial",
            rows=counts.rows,
            events=counts.events,
            dead_lettered=counts.dead_lettered,
            sent=counts.sent,
            dead_lettered_now=counts.dead_lettered_now,
            seconds=time.monotonic() - began,
            attempt=plan.attempt,
            size_bytes=file.size_bytes,
            offsets=_spans(starts, ends, self._main),
        )

    def _options(self) -> dict[str, object]:
        return {
            "key_field": self._key_field,
            "topic_partitions": self._settings.topic_partitions,
            "dlq_topic": self._dead,
            "dlq_partitions": self._settings.dlq_partitions,
            "validate_schema": self._settings.validate_schema,
            "columns": _columns_fingerprint(self._contract),
            "chunk_rows": CHUNK_ROWS,
        }

    def _ends(self) -> dict[str, dict[int, int]]:
        return {topic: end_offsets(self._settings, topic, self._admin) for topic in (self._main, self._dead)}

    def _resume_points(self, plan: Plan, sha256: str) -> dict[str, dict[int, ResumePoint]]:
        """Return what is on each topic; empty for a landing that starts."""
        if not isinstance(plan, Resume):
            return {}
        wait_until_quiet(self._settings, [self._main, self._dead])
        identity = FileIdentity(sha256, plan.attempt).text
        return {
            topic: find_resume_points(self._settings, topic, identity, plan.entry.start_offsets.get(topic, {}))
            for topic in (self._main, self._dead)
        }

    def _send(
        self,
        file: SourceFile,
        identity: FileIdentity,
        points: Mapping[str, Mapping[int, ResumePoint]],
        wanted: int,
        total_rows: int,
    ) -> _Counts:
        """Send rows [0, wanted) of the file that are not on the topics yet."""
        counts = _Counts()
        began = reported = time.monotonic()
        for batch in self._encoded(file, identity, wanted):
            counts.events += len(batch.events)
            counts.dead_lettered += len(batch.dead_letters)
            counts.dead_lettered_now += self._send_events(
                self._dead, leave_out_sent(batch.dead_letters, points.get(self._dead, {})), paced=False
            )
            counts.sent += self._send_events(
                self._main, leave_out_sent(batch.events, points.get(self._main, {})), paced=True
            )
            counts.rows += batch.rows
            now = time.monotonic()
            if self._on_progress and (now - reported >= _PROGRESS_S or counts.rows == wanted):
                reported = now
                self._on_progress(Progress(file.path, counts.rows, total_rows, counts.rows / max(now - began, 1e-6)))
        return counts

    def _send_events(self, topic: str, events: Events, *, paced: bool) -> int:
        if paced:
            events = self._pacer.arrange(events)
        for start, stop in self._pacer.slices(events) if paced else [(0, len(events))]:
            part = events.lists(start, stop)
            self._producer.send(topic, part.values, part.keys, part.partitions, part.headers, SOURCE_HEADER)
        return len(events)

    def _encoded(self, file: SourceFile, identity: FileIdentity, wanted: int) -> Iterator[EncodedBatch]:
        """Yield the encoded chunks of the first `wanted` rows; the next one is encoded while one is being sent."""
        names = list(self._contract.column_names)
        with file.open_parquet() as parquet, ThreadPoolExecutor(1, "encode") as pool:
            encoder = Encoder(
                self._contract,
                parquet.schema_arrow,
                identity=identity.text,
                key_field=self._key_field,
                partitions=self._settings.topic_partitions,
                dead_partitions=self._settings.dlq_partitions,
                check_contract=self._settings.validate_schema,
            )
            with closing(encoder):
                chunks = read_chunks(parquet, names, wanted, CHUNK_ROWS)

                def encode_next() -> EncodedBatch | None:
                    chunk = next(chunks, None)
                    return None if chunk is None else encoder.encode(chunk[1], chunk[0])

                following: Future[EncodedBatch | None] = pool.submit(encode_next)
                try:
                    while (batch := following.result()) is not None:
                        following = pool.submit(encode_next)
                        yield batch
                finally:
                    # The encoder is in use until the last call is over.
                    following.exception()

    def _spend(self, rows: int) -> None:
        if self.rows_left is not None:
            self.rows_left = max(self.rows_left - rows, 0)

    def _verify(
        self, ends: Mapping[str, Mapping[int, int]], starts: Mapping[str, Mapping[int, int]], counts: _Counts
    ) -> None:
        """Refuse to call a file landed whose events the logs have no room for."""
        for topic, wanted in ((self._main, counts.events), (self._dead, counts.dead_lettered)):
            grown = sum(end - starts.get(topic, {}).get(partition, 0) for partition, end in ends[topic].items())
            if grown < wanted:
                raise ProduceError(
                    f"topic {topic} grew by {grown} records since the landing began, {wanted} events of it are missing "
                    f"{wanted - grown}",
                    hint="was the topic deleted meanwhile? land the file with --again",
                )


def _columns_fingerprint(contract: DatasetContract) -> str:
    """Return a hash of what decides the text of an event and whether a row is refused."""
    decisive = [(column.name, column.json_type, column.bronze, column.is_required) for column in contract.columns]
    return hashlib.sha256(repr(decisive).encode()).hexdigest()[:16]


def _finished(
    started: LedgerEntry, counts: _Counts, ends: Mapping[str, Mapping[int, int]], *, is_whole: bool
) -> LedgerEntry:
    return replace(
        started,
        rows=counts.rows,
        events=counts.events,
        dead_lettered=counts.dead_lettered,
        status="landed" if is_whole else "partial",
        end_offsets=ends,
        recorded_at=datetime.now(UTC),
    )


def _spans(
    starts: Mapping[str, Mapping[int, int]], ends: Mapping[str, Mapping[int, int]], topic: str
) -> dict[int, tuple[int, int]]:
    return {partition: (starts[topic].get(partition, 0), end) for partition, end in ends.get(topic, {}).items()}


def _already_landed(file: SourceFile, entry: LedgerEntry, topic: str) -> LandingResult:
    return LandingResult(
        path=file.path,
        sha256=entry.sha256,
        month=file.month,
        status="already_landed",
        rows=entry.rows,
        events=entry.events,
        dead_lettered=entry.dead_lettered,
        attempt=entry.attempt,
        size_bytes=file.size_bytes,
        offsets=_spans(entry.start_offsets, entry.end_offsets, topic),
    )
