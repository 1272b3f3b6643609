"""Making another snapshot the current one."""

from __future__ import annotations

from pyiceberg.exceptions import CommitFailedException
from pyiceberg.table import Table
from pyiceberg.table.update import AssertTableUUID

from orchestration.catalog.replace import head_update
from orchestration.errors import ConflictError


def set_head(table: Table, snapshot_id: int) -> None:
    """Make a snapshot of the table the head of `main`; the snapshots after it stay until they expire.

    Raises:
        ConflictError: somebody committed since the table was loaded; nothing was changed.
    """
    update, expected = head_update(table, snapshot_id)
    try:
        table.catalog.commit_table(table, (AssertTableUUID(uuid=table.metadata.table_uuid), expected), (update,))
    except CommitFailedException as error:
        raise ConflictError(
            f"{'.'.join(table.name())} got a new snapshot meanwhile; nothing was rolled back",
            hint="look at `millrace snapshots` again, and stop what writes the table",
        ) from error
    table.refresh()
