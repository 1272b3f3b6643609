"""What a maintenance run did, for people and machines."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from orchestration.catalog.compact import Compacted, CompactionPlan
from orchestration.catalog.expiry import Expired
from orchestration.catalog.orphans import Vacuumed

Step = Literal["compact", "expire", "vacuum"]
STEPS: tuple[Step, ...] = ("compact", "expire", "vacuum")
"""In the order in which `all` takes them: compaction leaves snapshots to expire, expiry files to delete."""


@dataclass(frozen=True)
class TableReport:
    """One table. A step that was not asked for, or not reached, is None.

    Attributes:
        planned: what compaction would do; only in a dry run.
        left_over: files of a run that was killed, deleted now.
        error: why the table's maintenance stopped; None if it did not.
    """

    table: str
    compact: Compacted | None = None
    planned: CompactionPlan | None = None
    expire: Expired | None = None
    vacuum: Vacuumed | None = None
    left_over: int = 0
    error: str | None = None
    hint: str | None = None

    @property
    def did_something(self) -> bool:
        """Whether anything was changed, or in a dry run would be."""
        return bool(
            self.left_over
            or (self.compact and self.compact.snapshot_ids)
            or (self.planned and self.planned.is_needed)
            or (self.expire and self.expire.snapshots)
            or (self.vacuum and (self.vacuum.quarantined or self.vacuum.deleted or self.vacuum.restored))
        )

    def as_dict(self) -> dict[str, Any]:
        """Return the report for machines; only steps that ran."""
        document: dict[str, Any] = {"table": self.table, "did_something": self.did_something}
        if self.planned is not None:
            document["compact"] = {
                "skipped": self.planned.skipped,
                "groups": len(self.planned.groups),
                "input_files": self.planned.input_files,
                "input_bytes": self.planned.input_bytes,
                "dangling_delete_files": self.planned.dangling,
                "manifests": self.planned.manifests,
                "files": self.planned.files,
            }
        for name, step in (("compact", self.compact), ("expire", self.expire), ("vacuum", self.vacuum)):
            if step is not None:
                document[name] = asdict(step)
        if self.left_over:
            document["left_over"] = self.left_over
        if self.error is not None:
            document |= {"error": self.error, "hint": self.hint}
        return document


@dataclass(frozen=True)
class MaintenanceReport:
    """All tables."""

    is_dry_run: bool
    tables: tuple[TableReport, ...] = field(default=())

    @property
    def did_something(self) -> bool:
        """Whether anything was changed, or in a dry run would be."""
        return any(table.did_something for table in self.tables)

    @property
    def failed(self) -> tuple[TableReport, ...]:
        """Tables whose maintenance stopped."""
        return tuple(table for table in self.tables if table.error is not None)

    def as_dict(self) -> dict[str, Any]:
        """Return the report for machines."""
        return {
            "dry_run": self.is_dry_run,
            "did_something": self.did_something,
            "tables": [table.as_dict() for table in self.tables],
        }
