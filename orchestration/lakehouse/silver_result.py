"""What a silver run did."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Literal

from orchestration.flink.jobs.submit import JobResult

Kind = Literal["up_to_date", "refresh", "rebuild", "reconcile"]


@dataclass(frozen=True)
class SilverResult:
    """What a silver run did.

    Attributes:
        kind: `reconcile`: a stream wrote the table, and only wrong keys were mended.
        rows: change of silver's row count; total_rows: its rows afterwards.
        rejected: rows added to the rejected table; total_rejected: its rows afterwards.
        bronze_rows_read: bronze rows that the run read, as Flink counted them.
        touched: partitions that were written.
        rejected_by: rule to refused rows among those read.
    """

    kind: Kind
    reason: str
    rows: int
    total_rows: int
    rejected: int
    total_rejected: int
    bronze_rows_read: int
    bronze_snapshot_id: int | None
    snapshot_id: int | None
    rejected_snapshot_id: int | None
    touched: Sequence[date] = ()
    rejected_by: Mapping[str, int] = field(default_factory=dict)
    jobs: Sequence[JobResult] = ()
