"""How far bronze is behind the topic: by the offsets that the table accounts for, not by a consumer group."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from orchestration.broker.offsets import try_log_offsets
from orchestration.catalog import find_table, open_catalog
from orchestration.catalog.progress import BronzeMark, read_mark
from orchestration.contracts import DatasetContract
from orchestration.settings import Settings


@dataclass(frozen=True)
class PartitionLag:
    """One partition: `start` and `end` of its log, and the first offset that bronze does not account for."""

    partition: int
    start: int
    end: int
    next_offset: int

    @property
    def lag_records(self) -> int:
        """Records that bronze does not account for."""
        return max(self.end - self.next_offset, 0)


@dataclass(frozen=True)
class LagReport:
    """The lag of a dataset's bronze table."""

    topic: str
    dlq_topic: str
    partitions: tuple[PartitionLag, ...]
    dead_letters: int

    @property
    def lag_records(self) -> int:
        """Sum over the partitions."""
        return sum(one.lag_records for one in self.partitions)

    def as_dict(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        return {
            "topic": self.topic,
            "lag_records": self.lag_records,
            "partitions": [{**asdict(one), "lag_records": one.lag_records} for one in self.partitions],
            "dlq_topic": self.dlq_topic,
            "dead_letters": self.dead_letters,
        }


def read_lag(settings: Settings, contract: DatasetContract) -> LagReport:
    """Read the ends of the logs and bronze's mark. A topic or table that does not exist yet has no records.

    Raises:
        UnreachableError: the broker or the catalog does not answer.
    """
    logs = try_log_offsets(settings, contract.topic) or {}
    dead = try_log_offsets(settings, contract.dlq_topic) or {}
    bronze = find_table(open_catalog(settings), contract.tables.bronze)
    mark = (read_mark(bronze, BronzeMark) if bronze is not None else None) or BronzeMark()
    return LagReport(
        topic=contract.topic,
        dlq_topic=contract.dlq_topic,
        partitions=tuple(
            PartitionLag(partition, log.start, log.end, mark.next_offsets.get(partition, log.start))
            for partition, log in sorted(logs.items())
        ),
        dead_letters=sum(log.end for log in dead.values()),
    )
