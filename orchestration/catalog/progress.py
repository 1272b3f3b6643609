"""Progress marks: small JSON values in table properties.

A mark is written after the data it speaks of, in a metadata commit of its own (no snapshot). Whoever reads a mark
therefore treats the snapshots that came after it as work of a run that was killed before it could set the mark.
"""

from __future__ import annotations

import json
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from pyiceberg.exceptions import CommitFailedException
from pyiceberg.table import Table

from orchestration.errors import CatalogError

M = TypeVar("M", bound="Mark")


class Mark(BaseModel):
    """Base of all marks: frozen, stored as JSON."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class BronzeMark(Mark):
    """How far bronze is accounted for: every offset below `next_offsets` is in bronze or in the dead letters.

    Attributes:
        snapshot_id: bronze's snapshot when the mark was set; None if it had none.
        next_offsets: partition to the first offset that is not accounted for.
        dead_lettered: records of the topic that went to the dead letters so far.
    """

    snapshot_id: int | None = None
    next_offsets: dict[int, int] = {}
    dead_lettered: int = 0


class SilverMark(Mark):
    """Up to which bronze snapshot silver and its rejected rows are complete; stored on silver.

    Attributes:
        bronze_snapshot_id: the last bronze snapshot that is in them.
        snapshot_id, rejected_snapshot_id: their own snapshots when the mark was set; None for one never written.
        fingerprint: of the contract they were built by.
    """

    bronze_snapshot_id: int
    snapshot_id: int | None = None
    rejected_snapshot_id: int | None = None
    fingerprint: str


_PROPERTY = "millrace.progress"


def read_mark(table: Table, kind: type[M]) -> M | None:
    """Return the table's mark, None if it has none.

    Raises:
        CatalogError: the property is there and is not a mark of this kind.
    """
    text = table.properties.get(_PROPERTY)
    if text is None:
        return None
    try:
        return kind.model_validate_json(text)
    except ValidationError as error:
        raise CatalogError(
            f"property {_PROPERTY} of {'.'.join(table.name())} is not a {kind.__name__}: {text[:200]}",
            hint="another program changed it; `./millrace run --full-refresh` rebuilds silver",
        ) from error


def marked_snapshots(table: Table) -> dict[int, str]:
    """Return the snapshots that the table's mark names, of this and of other tables, with who names them.

    Any kind of mark counts, also one that this version does not know: what a field called `…snapshot_id` names is
    where somebody reads on.
    """
    text = table.properties.get(_PROPERTY)
    if text is None:
        return {}
    holder = f"progress mark of {'.'.join(table.name())}"
    try:
        mark = json.loads(text)
    except json.JSONDecodeError as error:
        raise CatalogError(
            f"property {_PROPERTY} of {'.'.join(table.name())} is not JSON: {text[:200]}",
            hint="another program changed it; `./millrace run --full-refresh` rebuilds silver",
        ) from error
    return {value: holder for key, value in mark.items() if key.endswith("snapshot_id") and isinstance(value, int)}


def write_mark(table: Table, mark: Mark) -> None:
    """Set the table's mark; a no-op if it stands already."""
    text = mark.model_dump_json()
    if table.properties.get(_PROPERTY) == text:
        return
    _commit(table, text)


def clear_mark(table: Table) -> None:
    """Remove the table's mark, so that the next refresh starts from scratch."""
    if _PROPERTY in table.properties:
        _commit(table, None)


def _commit(table: Table, text: str | None) -> None:
    # A writer that commits between our read and our write makes the first try fail; the second has its state.
    for last in (False, True):
        try:
            with table.transaction() as transaction:
                if text is None:
                    transaction.remove_properties(_PROPERTY)
                else:
                    transaction.set_properties({_PROPERTY: text})
            return
        except CommitFailedException:
            if last:
                raise
            table.refresh()
