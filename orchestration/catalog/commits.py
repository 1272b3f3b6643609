"""Committing to a table beside other writers: tried again while they are faster, one error for each way to fail."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import requests
from pyiceberg.exceptions import CommitStateUnknownException
from pyiceberg.table import Table

from orchestration.errors import CatalogError
from orchestration.waiting import Backoff, WaitTimeoutError, wait_for

T = TypeVar("T")

UNKNOWN = (CommitStateUnknownException, requests.RequestException)
"""What is raised when nobody can tell whether a commit arrived."""

_COMMIT_S = 60.0


class OvertakenError(CatalogError):
    """Other writers were faster for a minute; nothing was changed."""


def commit_beside_writers(
    table: Table, attempt: Callable[[], tuple[T | None, object]], *, doing: str, backoff: Backoff
) -> T:
    """Return the outcome of the first attempt that gets through.

    Args:
        attempt: returns its outcome, or None and why another writer was faster.
        doing: who commits, for error texts, such as `maintenance`.

    Raises:
        OvertakenError: no attempt got through within a minute.
        CatalogError: it cannot be known whether the commit arrived.
    """
    name = ".".join(table.name())
    try:
        return wait_for(attempt, what="a commit", timeout_s=_COMMIT_S, backoff=backoff)
    except WaitTimeoutError as error:
        raise OvertakenError(
            f"{name}: writers committed faster than {doing} for {_COMMIT_S:g} s: {error.last_seen}",
            hint="nothing was changed; run it again when fewer of them write",
        ) from error
    except UNKNOWN as error:
        raise CatalogError(
            f"{name}: the catalog did not say whether it took the commit of {doing}: {error}",
            hint="the table is whole either way; run it again, it removes what is left over",
        ) from error
