"""Which snapshots may go. Pure decisions.

History is kept without gaps from each branch's head to the oldest snapshot that anybody needs: readers of changes, and
Flink's sink when it looks for its last committed checkpoint, walk from parent to parent and stop at a gap.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

ENDED = 2**63 - 1
"""Checkpoint id that Flink's sink commits with the end of bounded input: such a job never comes back."""


@dataclass(frozen=True)
class SnapshotFacts:
    """What a decision needs to know of a snapshot.

    Attributes:
        job_id: the Flink job that wrote it; None for other writers.
        checkpoint_id: its highest committed checkpoint.
    """

    id: int
    parent_id: int | None
    at_ms: int
    job_id: str | None = None
    checkpoint_id: int | None = None


@dataclass(frozen=True)
class RefFacts:
    """A branch or tag, with the limits of its own that go before the table's."""

    name: str
    snapshot_id: int
    is_branch: bool
    retain_last: int | None = None
    max_age_ms: int | None = None


@dataclass(frozen=True)
class Retention:
    """What is kept at least: snapshots younger than `max_age_ms`, and so many of each branch."""

    max_age_ms: int = 7 * 86_400_000
    retain_last: int = 10


@dataclass(frozen=True)
class Needed:
    """Who needs which snapshots, beside refs and age.

    Attributes:
        snapshots: id to the reason, as people read it.
        jobs: Flink jobs that run or may be started again; None if that is not known: then each counts.
    """

    snapshots: Mapping[int, str] = field(default_factory=dict[int, str])
    jobs: Collection[str] | None = None


@dataclass(frozen=True)
class ExpiryPlan:
    """What expires.

    Attributes:
        expired: ids, oldest first.
        held: snapshots that are kept although they are old and many, with the reason.
    """

    expired: tuple[int, ...] = ()
    held: Mapping[int, str] = field(default_factory=dict[int, str])


def plan_expiry(
    snapshots: Sequence[SnapshotFacts],
    refs: Sequence[RefFacts],
    retention: Retention,
    needed: Needed,
    now_ms: int,
) -> ExpiryPlan:
    """Return which snapshots expire, and who holds old ones."""
    by_id = {snapshot.id: snapshot for snapshot in snapshots}
    holders = {**last_commits(snapshots, refs, needed.jobs), **needed.snapshots}
    kept: set[int] = set()
    held: dict[int, str] = {}
    for ref in refs:
        if not ref.is_branch:
            kept.add(ref.snapshot_id)
            continue
        chain = chain_of(by_id, ref.snapshot_id)
        oldest_at = now_ms - (ref.max_age_ms if ref.max_age_ms is not None else retention.max_age_ms)
        by_rule = max(ref.retain_last or retention.retain_last, 1)
        while by_rule < len(chain) and chain[by_rule].at_ms >= oldest_at:
            by_rule += 1
        places = [place for place, snapshot in enumerate(chain) if snapshot.id in holders]
        length = max([by_rule, *(place + 1 for place in places)])
        kept.update(snapshot.id for snapshot in chain[:length])
        held.update({chain[place].id: holders[chain[place].id] for place in places if place >= by_rule})
    for snapshot in snapshots:
        # Of no branch: what was rolled back, kept for as long as somebody may want it again.
        if snapshot.at_ms >= now_ms - retention.max_age_ms or snapshot.id in needed.snapshots:
            kept.add(snapshot.id)
    expired = sorted((one for one in snapshots if one.id not in kept), key=lambda one: one.at_ms)
    return ExpiryPlan(tuple(one.id for one in expired), held)


def last_commits(
    snapshots: Sequence[SnapshotFacts], refs: Sequence[RefFacts], jobs: Collection[str] | None
) -> dict[int, str]:
    """Return the newest snapshot of each streaming job that may come back, with the reason to keep it.

    A stream that is restored asks the table for the highest checkpoint that its job id committed; without an answer it
    would commit the same files again. The last stream of a branch always counts: its savepoint may lie anywhere.
    """
    by_id = {snapshot.id: snapshot for snapshot in snapshots}
    found: dict[int, str] = {}
    for ref in refs:
        seen: set[str] = set()
        for snapshot in chain_of(by_id, ref.snapshot_id):
            job = snapshot.job_id
            if job is None or job in seen or snapshot.checkpoint_id in (None, ENDED):
                continue
            if not seen or jobs is None or job in jobs:
                found[snapshot.id] = f"last commit of Flink job {job}"
            seen.add(job)
    return found


def chain_of(by_id: Mapping[int, SnapshotFacts], head: int) -> list[SnapshotFacts]:
    """Return a snapshot and its ancestors, newest first, as far as the metadata has them."""
    chain: list[SnapshotFacts] = []
    snapshot = by_id.get(head)
    while snapshot is not None:
        chain.append(snapshot)
        snapshot = by_id.get(snapshot.parent_id) if snapshot.parent_id is not None else None
    return chain
