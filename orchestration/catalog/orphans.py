"""Orphans: files below a table that no snapshot needs, such as those of writers that were killed.

They are moved into a folder of the table first and deleted when nothing asked for them for some days. What turns out
to be needed after all is moved back. A file counts as an orphan only when it is older than any writer that may still
commit it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from pyiceberg.table import Table

from orchestration.catalog.expiry import collects_garbage
from orchestration.catalog.files import Manifests, reachable
from orchestration.catalog.locations import Store, StoredFile, guarded_by, is_below, normalize
from orchestration.errors import CatalogError

QUARANTINE = "quarantine"
"""Folder of a table; in it a folder a run, named by its time."""
_STAMP = "%Y%m%dT%H%M%SZ"
_RUN = re.compile(rf"/{QUARANTINE}/(\d{{8}}T\d{{6}}Z)/(.+)")


@dataclass(frozen=True)
class OrphanPolicy:
    """When a file may be touched: `min_age` after it was written, and deleted `quarantine_age` after it was moved."""

    min_age: timedelta = timedelta(days=3)
    quarantine_age: timedelta = timedelta(days=3)


@dataclass(frozen=True)
class Vacuumed:
    """What vacuum did, or with a dry run would do. Locations are normalized.

    Attributes:
        skipped: why the table is left alone; None if it is not.
        quarantined: orphans that were moved away. deleted: files whose quarantine is over.
        restored: files that were moved back, because a snapshot needs them.
        young: files that no snapshot needs and that are too young to judge.
    """

    skipped: str | None = None
    quarantined: tuple[str, ...] = ()
    quarantined_bytes: int = 0
    deleted: tuple[str, ...] = ()
    deleted_bytes: int = 0
    restored: tuple[str, ...] = ()
    young: int = 0


@dataclass(frozen=True)
class VacuumPlan:
    """What is to be done with the files of a table."""

    quarantine: tuple[StoredFile, ...] = ()
    delete: tuple[StoredFile, ...] = ()
    restore: tuple[tuple[str, str], ...] = ()
    young: int = 0


def plan_vacuum(
    root: str, files: Iterable[StoredFile], needed: Collection[str], policy: OrphanPolicy, now: datetime
) -> VacuumPlan:
    """Decide what happens to each file below the table's location `root` (normalized). Pure.

    A file whose age the store does not tell stays. A checksum file goes with the file that it belongs to.
    """
    quarantine: list[StoredFile] = []
    delete: list[StoredFile] = []
    restore: list[tuple[str, str]] = []
    young = 0
    for file in files:
        place = _RUN.fullmatch(file.location.removeprefix(root))
        if place is not None:
            origin = f"{root}/{place[2]}"
            since = datetime.strptime(place[1], _STAMP).replace(tzinfo=UTC)
            if guarded_by(origin) in needed:
                restore.append((file.location, origin))
            elif now - since >= policy.quarantine_age:
                delete.append(file)
        elif guarded_by(file.location) not in needed:
            if file.modified_at is None or now - file.modified_at < policy.min_age:
                young += 1
            else:
                quarantine.append(file)
    return VacuumPlan(tuple(quarantine), tuple(delete), tuple(restore), young)


def vacuum_table(
    table: Table, others: Sequence[Table], policy: OrphanPolicy, now: datetime, *, is_dry_run: bool = False
) -> Vacuumed:
    """Move the orphans of a table to quarantine, and delete those whose time there is over. Idempotent.

    Args:
        others: the other tables of the catalog: where one lies in this one's folder, its files would look like orphans.

    Raises:
        CatalogError: a file that a snapshot needs is not where the metadata says; then nothing is touched.
    """
    reason = _why_not(table, others)
    if reason is not None:
        return Vacuumed(reason)
    manifests, store = Manifests(table.io), Store(table.io, table.location())
    # What a writer commits while the files are listed is needed too; what expires meanwhile may still be listed.
    before = _reachable_below(table, manifests, store.root)
    files = list(store.list())
    table.refresh()
    needed = before | _reachable_below(table, manifests, store.root)
    plan = plan_vacuum(store.root, files, needed, policy, now)
    _require_all(table, before, files, plan)
    done = Vacuumed(
        quarantined=tuple(file.location for file in plan.quarantine),
        quarantined_bytes=sum(file.size_bytes for file in plan.quarantine),
        deleted=tuple(file.location for file in plan.delete),
        deleted_bytes=sum(file.size_bytes for file in plan.delete),
        restored=tuple(origin for _, origin in plan.restore),
        young=plan.young,
    )
    if is_dry_run:
        return done
    for location, origin in plan.restore:
        store.move(location, origin)
    folder = f"{store.root}/{QUARANTINE}/{now.astimezone(UTC).strftime(_STAMP)}"
    for file in plan.quarantine:
        store.move(file.location, folder + file.location.removeprefix(store.root))
    store.delete(done.deleted)
    return done


def _why_not(table: Table, others: Sequence[Table]) -> str | None:
    if not collects_garbage(table):
        return "its property gc.enabled is false"
    for other in others:
        if is_below(other.location(), table.location()) or is_below(table.location(), other.location()):
            return f"its folder is shared with {'.'.join(other.name())}"
    return None


def _reachable_below(table: Table, manifests: Manifests, root: str) -> set[str]:
    return {location for location in reachable(table, manifests) if is_below(location, root)}


def _require_all(table: Table, needed: Collection[str], files: Iterable[StoredFile], plan: VacuumPlan) -> None:
    """Refuse when the listing lacks what the metadata needs: then it is not the listing of this table's files."""
    listed = {file.location for file in files} | {origin for _, origin in plan.restore}
    # The log of old metadata may name files that a writer with `delete-after-commit` removed.
    optional = {normalize(entry.metadata_file) for entry in table.metadata.metadata_log}
    missing = sorted(
        one for one in set(needed) - listed - optional if not one.endswith(("version-hint.text", ".stats"))
    )
    if missing:
        raise CatalogError(
            f"{'.'.join(table.name())}: {len(missing)} files of its snapshots are not in its folder, such as "
            f"{missing[0]}; no file was touched",
            hint="the table is damaged, or its files are spelled in a way that we do not know",
        )
