"""A topic, dead letters and a Flink job in memory, around a real Iceberg table: what a bronze run sees of the outside.

Each step can be made to kill the run, before or after its effect, as `kill -9` would between two calls.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyiceberg.catalog import Catalog
from pyiceberg.exceptions import NoSuchTableError

from orchestration.broker.dead_letters import BadRecord, DeadLettered
from orchestration.broker.offsets import LogRange
from orchestration.errors import JobFailedError
from orchestration.flink.client.rest import FlinkRest
from orchestration.lakehouse import bronze
from orchestration.settings import Settings
from tests.unit.tables import append, bronze_table
from tests.unit.tiny import tiny_contract


class KilledError(Exception):
    """The process ended here."""


class World:
    """The outside of a bronze run.

    Attributes:
        topic: partition to the values of its records, from offset 0.
        starts: partition to the log start; 0 if not named.
        vouched: ranges that a landing vouches for.
        kill: name of the step at which the next run ends (`dead_letter`, `insert`, `mark`), with `before` or `after`.
    """

    def __init__(self, catalog: Catalog, state: Path) -> None:
        self.catalog = catalog
        self.settings = Settings(state_dir=state, validate_schema=True)
        self.topic: dict[int, list[bytes | None]] = {0: [], 1: []}
        self.starts: dict[int, int] = {}
        self.vouched: list[tuple[int, LogRange]] = []
        self.dead: dict[tuple[int, int], str] = {}
        self.jobs = 0
        self.kill: tuple[str, str] | None = None

    def run(self) -> bronze.BronzeResult:
        """Run bronze once."""
        rest = FlinkRest("http://127.0.0.1:1")
        return bronze._Load(self.settings, tiny_contract(), rest, self.catalog, bronze.be_silent).run()

    def send(self, partition: int, *values: bytes | None) -> None:
        """Append records to a partition."""
        self.topic[partition] += values

    def rows(self) -> list[tuple[int, int]]:
        """Return the (partition, offset) of bronze's rows, sorted."""
        try:
            table = self.catalog.load_table("bronze.raw_rides")
        except NoSuchTableError:
            return []
        rows = table.scan().to_arrow().to_pylist()
        return sorted((row["_kafka_partition"], row["_kafka_offset"]) for row in rows)

    def snapshots(self) -> int:
        """Return how many snapshots bronze has."""
        return len(self.catalog.load_table("bronze.raw_rides").snapshots())

    def is_complete(self) -> bool:
        """Whether each record of the topic is either one bronze row or one dead letter."""
        everything = {(p, n) for p, values in self.topic.items() for n in range(len(values))}
        rows = self.rows()
        return (
            len(rows) == len(set(rows)) and set(rows) | set(self.dead) == everything and not set(rows) & set(self.dead)
        )

    def _step(self, name: str, moment: str) -> None:
        if self.kill == (name, moment):
            self.kill = None
            raise KilledError(name, moment)

    def log_offsets(self, *_: Any) -> dict[int, LogRange]:
        return {p: LogRange(self.starts.get(p, 0), len(values)) for p, values in self.topic.items()}

    def read_range(self, _: Any, __: str, ranges: Mapping[int, tuple[int, int]]) -> Iterator[pa.RecordBatch]:
        for partition, (start, end) in ranges.items():
            assert start >= self.starts.get(partition, 0)
            values = self.topic[partition][start:end]
            yield pa.record_batch(
                {
                    "partition": pa.array([partition] * len(values), pa.int32()),
                    "offset": pa.array(range(start, end), pa.int64()),
                    "value": pa.array(values, pa.binary()),
                }
            )

    def dead_letter(self, _: Any, __: Any, records: Iterable[BadRecord]) -> DeadLettered:
        self._step("dead_letter", "before")
        new = {(item.partition, item.offset): item.reason for item in records}
        written = {place: reason for place, reason in new.items() if place not in self.dead}
        self.dead |= written
        self._step("dead_letter", "after")
        return DeadLettered(len(written), len(new) - len(written))

    def write_mark(self, *arguments: Any) -> None:
        self._step("mark", "before")
        bronze_write_mark(*arguments)
        self._step("mark", "after")

    def run_insert(self, *_: Any, tables: Mapping[str, str], insert: str, **__: Any) -> str:
        """Do what Flink does: read the offsets in the source's options, and commit once if there is a row."""
        self._step("insert", "before")
        self.jobs += 1
        start, end = (_offsets(tables["source"], kind) for kind in ("startup", "bounded"))
        excluded = {
            (int(p), int(n))
            for p, offsets in re.findall(r"`_kafka_partition` = (\d+) AND `_kafka_offset` IN \(([\d, ]+)\)", insert)
            for n in offsets.split(",")
        }
        assert start.keys() == end.keys() == self.topic.keys()
        rows: list[dict[str, Any]] = []
        for partition in start:
            for offset in range(start[partition], end[partition]):
                is_row = _flink_takes(self.topic[partition][offset], "errors' = 'true'" in tables["source"])
                if is_row and (partition, offset) not in excluded:
                    rows.append({"_kafka_partition": partition, "_kafka_offset": offset})
        try:
            table = self.catalog.load_table("bronze.raw_rides")
        except NoSuchTableError:
            table = bronze_table(self.catalog)
        if rows:
            append(table, *rows)
        self._step("insert", "after")
        return "job"


def _flink_takes(value: bytes | None, is_tolerant: bool) -> bool:
    """Whether Flink's JSON format makes a row of it: a strict parser, but for a tombstone, which gives no row."""
    if value is None:
        return False
    try:
        taken = isinstance(json.loads(value, parse_constant=_refuse), dict)
    except ValueError:
        taken = False
    if not taken and not is_tolerant:
        raise JobFailedError("bronze failed", root_cause="Failed to deserialize JSON")
    return taken


def _refuse(text: str) -> None:
    raise ValueError(text)


def _offsets(source: str, kind: str) -> dict[int, int]:
    text = re.findall(rf"scan\.{kind}\.specific-offsets' = '([^']*)'", source)[0]
    return {int(p): int(n) for p, n in re.findall(r"partition:(\d+),offset:(\d+)", text)}


bronze_write_mark = bronze.write_mark


def enter(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the world in the place of the broker and of Flink."""
    monkeypatch.setattr(bronze, "try_log_offsets", world.log_offsets)
    monkeypatch.setattr(bronze, "read_range", world.read_range)
    monkeypatch.setattr(bronze, "vouched_ranges", lambda *_: world.vouched)
    monkeypatch.setattr(bronze, "dead_letter_records", world.dead_letter)
    monkeypatch.setattr(bronze, "run_insert", world.run_insert)
    monkeypatch.setattr(bronze, "write_mark", world.write_mark)
