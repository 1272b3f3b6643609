"""Where every event is: produced, in bronze, in silver, dead-lettered, rejected; and whether the sums agree.

All of it is offsets of the broker and summaries of snapshots, except the rules of rejected rows: of those, one column
of the rows that came since the last look. Whether a row is a duplicate nobody can tell from metadata: their number here
is what is left of the equation, and the asset check of silver, which counts the keys, is on the page too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from prometheus_client.metrics_core import Metric
from pyiceberg.catalog import Catalog
from pyiceberg.table import Table
from pyiceberg.table.snapshots import Operation, Snapshot

from orchestration.broker.offsets import consumer_lag, try_log_offsets
from orchestration.catalog import find_table, open_catalog
from orchestration.catalog.progress import BronzeMark, read_mark
from orchestration.catalog.snapshots import current_id, read_appended, snapshots_after
from orchestration.contracts import DatasetContract
from orchestration.lakehouse.facts import count_reported
from orchestration.lakehouse.streams.definition import consumer_group
from orchestration.naming import LEDGER_TABLE, REPLAY_TABLE
from orchestration.observability.families import counter, gauge
from orchestration.observability.tables import total
from orchestration.settings import Settings

RULE = "rejected_by"
LANDED, REFINED = "produced = bronze + dead_lettered", "bronze = silver + duplicates + rejected"


@dataclass(frozen=True)
class Account:
    """The figures of a dataset at one moment.

    Attributes:
        produced: events handed to the broker, whichever of the two topics they went to.
        waiting: of them, records behind what bronze and its stream have committed.
        unsettled: dead letters that no landing reported and no replay sent; `budget` is DLQ_MAX.
        rejected_by: rule to rows of the rejected table.
    """

    produced: int
    dead_lettered: int
    unsettled: int
    budget: int
    waiting: int
    bronze: int
    silver: int
    rejected: int
    rejected_by: Mapping[str, int]

    @property
    def missing(self) -> int:
        """Events that are neither in bronze nor dead letters nor waiting; negative: there are too many."""
        late = self.produced - self.dead_lettered - self.bronze
        return late if late < 0 else max(late - self.waiting, 0)

    @property
    def duplicates(self) -> int:
        """Bronze rows that are neither in silver nor rejected; negative: silver or the rejected have too many."""
        return self.bronze - self.silver - self.rejected

    @property
    def equations(self) -> dict[str, bool]:
        """Equation to whether it can hold."""
        return {LANDED: self.missing == 0, REFINED: self.duplicates >= 0}


class Accountant:
    """Reads the account of a dataset again and again, and remembers what it need not read twice."""

    def __init__(self, settings: Settings, contract: DatasetContract) -> None:
        self._settings, self._contract = settings, contract
        self._rules = RuleCounts()
        self._reported: tuple[object, int] = (None, 0)

    def collect(self) -> list[Metric]:
        """Return the account as metrics.

        Raises:
            UnreachableError, CatalogError: broker or catalog do not answer.
        """
        return account_families(self._contract.name, self.read())

    def read(self) -> Account:
        """Return the account. Tables and topics that do not exist yet hold nothing."""
        settings, contract = self._settings, self._contract
        catalog, tables = open_catalog(settings), contract.tables
        bronze, silver, rejected = (
            find_table(catalog, name) for name in (tables.bronze, tables.silver, tables.rejected)
        )
        mark = (read_mark(bronze, BronzeMark) if bronze is not None else None) or BronzeMark()
        # After the tables: what is produced meanwhile waits, and is not missing.
        dead = sum(log.end for log in (try_log_offsets(settings, contract.dlq_topic) or {}).values())
        committed = self._committed()
        logs = try_log_offsets(settings, contract.topic) or {}
        reached = {
            partition: max(mark.next_offsets.get(partition, log.start), committed.get(partition, 0))
            for partition, log in logs.items()
        }
        return Account(
            # The dead letters that came from the topic itself were produced once, to the topic.
            produced=sum(log.end for log in logs.values()) + dead - mark.dead_lettered,
            dead_lettered=dead,
            unsettled=dead - self._count_reported(catalog, dead),
            budget=settings.dlq_max,
            waiting=sum(max(log.end - reached[partition], 0) for partition, log in logs.items()),
            bronze=live_rows(bronze),
            silver=live_rows(silver),
            rejected=live_rows(rejected),
            rejected_by=self._rules.count(rejected),
        )

    def _committed(self) -> dict[int, int]:
        group = consumer_group(self._contract.name)
        if try_log_offsets(self._settings, self._contract.topic) is None:
            return {}
        lags = consumer_lag(self._settings, group, self._contract.topic)
        return {lag.partition: lag.committed for lag in lags if lag.committed is not None}

    def _count_reported(self, catalog: Catalog, dead: int) -> int:
        """Return `count_reported`, read anew only if a dead letter, a landing or a replay came since."""
        notes = (find_table(catalog, name) for name in (LEDGER_TABLE, REPLAY_TABLE))
        state = (dead, *(current_id(table) if table is not None else None for table in notes))
        if self._reported[0] != state:
            self._reported = (state, count_reported(self._settings, self._contract))
        return self._reported[1]


class RuleCounts:
    """Rows of a rejected table by rule; a look reads what was appended since the one before."""

    def __init__(self, read: Callable[..., Counter[str]] | None = None) -> None:
        self._read = read or count_rules
        self._snapshot_id: int | None = None
        self._counts: Counter[str] = Counter()

    def count(self, table: Table | None) -> Mapping[str, int]:
        """Return rule to rows."""
        upto = current_id(table) if table is not None else None
        if table is None or upto is None:
            self._snapshot_id, self._counts = None, Counter()
        elif upto != self._snapshot_id:
            newer = snapshots_after(table, self._snapshot_id) if self._snapshot_id is not None else None
            if newer is None or not all(map(_keeps_rows, newer)):
                self._counts = self._read(table, after=None, upto=upto)
            else:
                self._counts = self._counts + self._read(table, after=self._snapshot_id, upto=upto)
            self._snapshot_id = upto
        return dict(self._counts)


def _keeps_rows(snapshot: Snapshot) -> bool:
    kept = (Operation.APPEND, Operation.REPLACE)
    return snapshot.summary is not None and snapshot.summary.operation in kept


def count_rules(table: Table, *, after: int | None, upto: int) -> Counter[str]:
    """Return rule to rows that were appended after a snapshot (None: of all rows), from one column."""
    counts: Counter[str] = Counter()
    for batch in read_appended(table, (RULE,), after=after, upto=upto):
        for pair in batch.column(RULE).value_counts().to_pylist():
            counts[str(pair["values"])] += pair["counts"]
    return counts


def live_rows(table: Table | None) -> int:
    """Return the rows of the current snapshot by its summary, without those that position deletes take away."""
    snapshot = table.current_snapshot() if table is not None else None
    rows, deleted = (total(snapshot, field) for field in ("total-records", "total-position-deletes"))
    return int((rows or 0) - (deleted or 0))


def account_families(dataset: str, account: Account) -> list[Metric]:
    """Return an account as metrics."""
    one, of_layer, of_rule = ("dataset",), ("dataset", "layer"), ("dataset", "rule")
    layers = {
        "bronze": account.bronze,
        "silver": account.silver,
        "rejected": account.rejected,
        "duplicates": account.duplicates,
    }
    return [
        counter(
            "millrace_events_produced",
            "Events handed to the broker, to either topic",
            one,
            {(dataset,): account.produced},
        ),
        counter("millrace_dead_letters", "Messages of the dead-letter topic", one, {(dataset,): account.dead_lettered}),
        gauge(
            "millrace_dead_letters_unsettled",
            "Dead letters that no landing reported and no replay sent",
            one,
            {(dataset,): account.unsettled},
        ),
        gauge(
            "millrace_dead_letters_budget", "Unsettled dead letters that are borne", one, {(dataset,): account.budget}
        ),
        gauge(
            "millrace_events_waiting",
            "Events on the topic that neither bronze nor its stream has committed",
            one,
            {(dataset,): account.waiting},
        ),
        gauge(
            "millrace_events_missing",
            "Events that are neither in bronze nor dead letters nor waiting; negative: too many",
            one,
            {(dataset,): account.missing},
        ),
        gauge(
            "millrace_layer_rows",
            "Rows of each layer; duplicates are what bronze holds and neither silver nor the rejected rows",
            of_layer,
            {(dataset, layer): rows for layer, rows in layers.items()},
        ),
        gauge(
            "millrace_rejected_rows",
            "Rows that a quality rule refused",
            of_rule,
            {(dataset, rule): rows for rule, rows in account.rejected_by.items()},
        ),
        gauge(
            "millrace_accounting_holds",
            "Whether the equation can hold, by offsets and metadata",
            ("dataset", "equation"),
            {(dataset, name): float(holds) for name, holds in account.equations.items()},
        ),
    ]
