"""The tables: metadata, data files, and the accounting over all layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from pyiceberg.io import FileIO
from pyiceberg.table import Table

from orchestration.catalog import find_table, open_catalog
from orchestration.catalog.client import catalog_errors
from orchestration.catalog.progress import BronzeMark, read_mark
from orchestration.contracts import DatasetContract
from orchestration.errors import CatalogError
from orchestration.generator.ledger import Ledger
from orchestration.lakehouse.counts import Counts, count_layers
from orchestration.lakehouse.replay import read_replayed
from orchestration.settings import Settings
from orchestration.validation.results import Outcome, Result, Stage, check

_STAGE: Stage = "data"
_READERS = 8


@dataclass(frozen=True)
class DataFile:
    """A file that the current snapshot of a table needs."""

    path: str
    size_bytes: int


def check_tables(settings: Settings, contract: DatasetContract) -> list[Result]:
    """Check each table's metadata and that every data file of its current snapshot is there, whole."""
    names = contract.tables
    results: list[Result] = []
    for layer, name in (("bronze", names.bronze), ("silver", names.silver), ("rejected", names.rejected)):
        is_optional = layer == "rejected" or settings.allow_empty

        def look_metadata(name: str = name, is_optional: bool = is_optional) -> Outcome:
            table = find_table(open_catalog(settings), name)
            return judge_metadata(name, table, is_optional=is_optional)

        def look_files(name: str = name) -> Outcome:
            table = find_table(open_catalog(settings), name)
            if table is None:
                return Outcome(True, f"{name}: no files")
            with catalog_errors(settings.catalog_uri, f"reading the manifests of {name}"):
                return judge_files(name, data_files(table), table.io)

        results.append(check(_STAGE, f"{layer} metadata", settings.iceberg_metadata_timeout_s, look_metadata))
        results.append(check(_STAGE, f"{layer} data files", settings.iceberg_query_timeout_s, look_files))
    return results


def judge_metadata(name: str, table: Table | None, *, is_optional: bool) -> Outcome:
    """Judge a table's metadata: it exists and has a snapshot, unless the layer may be empty."""
    if table is None:
        return Outcome(is_optional, f"{name} does not exist yet", hint="`millrace run` makes it")
    snapshots = len(table.metadata.snapshots)
    if table.current_snapshot() is None:
        return Outcome(is_optional, f"{name} was never written", hint="`millrace run` fills it")
    return Outcome(True, f"{name}: {snapshots:,} snapshots", table.metadata_location)


def data_files(table: Table) -> list[DataFile]:
    """Return the data and delete files of the current snapshot.

    Raises:
        CatalogError: a manifest cannot be read.
    """
    files: dict[str, int] = {}
    try:
        for task in table.scan().plan_files():
            for file in (task.file, *task.delete_files):
                files[file.file_path] = file.file_size_in_bytes
    except OSError as error:
        raise CatalogError(
            f"a manifest of {'.'.join(table.name())} cannot be read: {error}",
            hint="roll the table back to the snapshot before, or delete it and run `millrace run`",
        ) from error
    return [DataFile(path, size) for path, size in sorted(files.items())]


def judge_files(name: str, files: Sequence[DataFile], io: FileIO) -> Outcome:
    """Judge whether every file is there with the size that the manifest says."""
    with ThreadPoolExecutor(_READERS) as pool:
        damage = [found for found in pool.map(lambda file: _damage(file, io), files) if found]
    size = sum(file.size_bytes for file in files)
    if not damage:
        return Outcome(True, f"{name}: {len(files):,} files, {size / 1e6:,.1f} MB, all there")
    return Outcome(
        False,
        f"{name}: {len(damage):,} of {len(files):,} files cannot be read: {damage[0]}",
        "; ".join(damage[1:20]) or None,
        "restore the files, or roll the table back to a snapshot without them; bronze can be loaded again while the "
        "topic still holds the records: delete the table and run `millrace run`",
    )


def _damage(file: DataFile, io: FileIO) -> str | None:
    try:
        size = len(io.new_input(file.path))
    except FileNotFoundError:
        return f"{file.path} is missing"
    except OSError as error:
        return f"{file.path}: {error}"
    return None if size == file.size_bytes else f"{file.path} has {size:,} bytes instead of {file.size_bytes:,}"


def last_job(settings: Settings, name: str) -> str | None:
    """Return the id of the Flink job that wrote a table's newest snapshot, None if no job did."""
    table = find_table(open_catalog(settings), name)
    snapshot = table.current_snapshot() if table is not None else None
    return snapshot.summary.get("flink.job-id") if snapshot is not None and snapshot.summary is not None else None


def check_counts(settings: Settings, contract: DatasetContract) -> list[Result]:
    """Check the accounting: both equations exactly, silver's size, and that every dead letter is explained."""
    found: list[Counts] = []

    def count() -> Outcome:
        found.append(count_layers(settings, contract))
        return Outcome(True, "; ".join(f"{name} {value:,}" for name, value in found[0].as_dict().items()))

    def read_ledger() -> Outcome:
        catalog = open_catalog(settings)
        totals = Ledger(catalog).totals(contract.name, contract.topic)
        bronze = find_table(catalog, contract.tables.bronze)
        mark = (read_mark(bronze, BronzeMark) if bronze is not None else None) or BronzeMark()
        replayed = read_replayed(settings, contract).records
        return judge_dead_letters(
            found[0].dead_lettered, totals.dead_lettered, mark.dead_lettered, settings.dlq_max, replayed
        )

    counted = check(_STAGE, "every row can be read", settings.iceberg_query_timeout_s, count)
    if not found:
        unknown = Outcome(False, "not checked: the rows cannot be counted", hint=counted.hint)
        outcomes: Mapping[str, Outcome] = dict.fromkeys(("accounting of bronze", "accounting of silver"), unknown)
    else:
        outcomes = {
            **judge_equations(found[0]),
            "silver has rows": judge_silver(found[0], allow_empty=settings.allow_empty),
        }
    results = [counted]
    results += [
        Result(_STAGE, name, one.passed, one.message, one.detail, None if one.passed else one.hint)
        for name, one in outcomes.items()
    ]
    if found:
        results.append(check(_STAGE, "dead letters explained", settings.dlq_read_timeout_s, read_ledger))
    return results


def judge_equations(counts: Counts) -> dict[str, Outcome]:
    """Judge both accounting equations; no row may be missing or surplus."""
    hints = (
        "`millrace lag` shows records that wait on the topic; `millrace run` loads them",
        "`millrace run` brings silver up to date; `millrace run --full-refresh` rebuilds it",
    )
    lost = (
        counts.produced - counts.bronze - counts.dead_lettered,
        counts.bronze - counts.silver - counts.duplicates - counts.rejected,
    )
    outcomes: dict[str, Outcome] = {}
    for layer, (equation, (holds, numbers)), hint, difference in zip(
        ("bronze", "silver"), counts.equations().items(), hints, lost, strict=True
    ):
        gap = "" if holds else f": {abs(difference):,} rows {'missing' if difference > 0 else 'too many'}"
        outcomes[f"accounting of {layer}"] = Outcome(holds, f"{equation}{gap}", numbers, hint)
    return outcomes


def judge_silver(counts: Counts, *, allow_empty: bool) -> Outcome:
    """Judge silver's size: not empty, and no larger than bronze."""
    if counts.silver > counts.bronze:
        return Outcome(
            False, f"silver has {counts.silver:,} rows, bronze {counts.bronze:,}", hint="`millrace run --full-refresh`"
        )
    if counts.silver == 0 and not allow_empty:
        return Outcome(
            False,
            "silver is empty: the tests of the models would pass on nothing",
            hint="`millrace run --data FILE` lands data; ALLOW_EMPTY=true accepts an empty silver",
        )
    return Outcome(True, f"{counts.silver:,} rows of {counts.bronze:,} in bronze")


def judge_dead_letters(found: int, by_landings: int, by_bronze: int, dlq_max: int, replayed: int = 0) -> Outcome:
    """Judge the dead letters: those that landings reported are accounted for; DLQ_MAX is the budget for all others.

    Rows that a landing refused were seen and counted when they were refused, and its own check held them against
    DLQ_MAX then. What other producers put on the topic nobody has looked at yet: that is what the budget is for.

    Args:
        by_landings: rows that landings refused, by the ledger.
        by_bronze: records of the topic that bronze refused, by its mark.
        replayed: of these, those that fit the contract now and were produced once more; the budget is not for them.
    """
    others = found - by_landings
    settled = f", {replayed:,} of them replayed" if replayed else ""
    message = (
        f"{found:,} dead letters: {by_landings:,} reported by landings, {others:,} others{settled} "
        f"(DLQ_MAX={dlq_max:,})"
    )
    detail = f"{by_bronze:,} records of the topic were malformed"
    if others < 0:
        return Outcome(False, message, detail, "the dead-letter topic was deleted or created anew")
    if others > by_bronze:
        return Outcome(
            False,
            message,
            detail,
            "somebody else wrote to the dead-letter topic, or a landing was killed: run it again",
        )
    return Outcome(
        others - replayed <= dlq_max,
        message,
        detail,
        "another producer sent malformed messages: `millrace dlq list` shows why, `millrace dlq replay` sends those "
        "that fit after a fix; raise DLQ_MAX to accept the rest",
    )
