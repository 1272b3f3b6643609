"""Which snapshots may go: age and number, refs, marks, and the last commits of streams."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestration.catalog.retention import (
    ENDED,
    ExpiryPlan,
    Needed,
    RefFacts,
    Retention,
    SnapshotFacts,
    last_commits,
    plan_expiry,
)

NOW = 1_000
KEEP = Retention(max_age_ms=100, retain_last=2)


def chain(count: int, *, first: int = 1, at_ms: int = 0, parent: int | None = None) -> list[SnapshotFacts]:
    """Return snapshots first..first+count-1, each the parent of the next."""
    numbers = range(first, first + count)
    return [SnapshotFacts(n, n - 1 if n > first else parent, at_ms + n) for n in numbers]


def main(head: int, **limits: int) -> RefFacts:
    return RefFacts("main", head, True, **limits)


NOBODY = Needed(jobs=())


def expired(snapshots: list[SnapshotFacts], *refs: RefFacts, needed: Needed = NOBODY) -> list[int]:
    return list(plan_expiry(snapshots, refs, KEEP, needed, NOW).expired)


def by_job(snapshots: list[SnapshotFacts], **jobs: str) -> list[SnapshotFacts]:
    """Return the snapshots with `s<id>='<job>:<checkpoint>'` put in."""
    for key, text in jobs.items():
        job, _, checkpoint = text.partition(":")
        place = int(key[1:]) - 1
        snapshots[place] = replace(snapshots[place], job_id=job, checkpoint_id=int(checkpoint) if checkpoint else None)
    return snapshots


def test_old_snapshots_beyond_the_last_ones_expire_oldest_first() -> None:
    assert expired(chain(6), main(6)) == [1, 2, 3, 4]


def test_young_snapshots_stay_however_many() -> None:
    assert expired(chain(6, at_ms=900), main(6)) == []


def test_the_last_ones_stay_however_old() -> None:
    assert expired(chain(2), main(2)) == []


def test_a_table_without_a_branch_keeps_what_is_young() -> None:
    assert expired([*chain(2), *chain(1, first=3, at_ms=990)]) == [1, 2]


def test_limits_of_a_branch_go_before_those_of_the_table() -> None:
    assert expired(chain(6), main(6, retain_last=4)) == [1, 2]
    assert expired(chain(6), main(6, max_age_ms=996)) == [1, 2, 3]


def test_a_tagged_snapshot_stays_and_those_around_it_go() -> None:
    assert expired(chain(6), main(6), RefFacts("release", 2, False)) == [1, 3, 4]


def test_a_branch_keeps_its_own_last_ones() -> None:
    side = chain(3, first=11, parent=2)
    assert expired([*chain(6), *side], main(6), RefFacts("side", 13, True)) == [1, 2, 3, 4, 11]


def test_what_a_mark_names_stays_with_everything_after_it() -> None:
    plan = plan_expiry(chain(6), [main(6)], KEEP, Needed({3: "mark of silver"}, jobs=()), NOW)
    assert plan == ExpiryPlan((1, 2), {3: "mark of silver"})


def test_a_mark_on_a_snapshot_that_is_kept_anyway_holds_nothing() -> None:
    assert plan_expiry(chain(6), [main(6)], KEEP, Needed({5: "mark"}, jobs=()), NOW).held == {}


def test_a_rolled_back_snapshot_stays_while_it_is_young_or_named() -> None:
    rolled_back = [SnapshotFacts(7, 6, 950), SnapshotFacts(8, 6, 10), SnapshotFacts(9, 6, 10)]
    assert expired([*chain(6), *rolled_back], main(6), needed=Needed({9: "mark"}, jobs=())) == [1, 2, 3, 4, 8]


def test_the_last_commit_of_a_live_stream_stays_with_everything_after_it() -> None:
    snapshots = by_job(chain(8), s2="stream:1", s3="stream:2", s7="other:9")
    assert expired(snapshots, main(8), needed=Needed(jobs={"stream"})) == [1, 2]


def test_the_last_stream_counts_even_if_nobody_knows_it() -> None:
    snapshots = by_job(chain(8), s2="old:1", s4="last:1", s6=f"batch:{ENDED}")
    assert expired(snapshots, main(8)) == [1, 2, 3]


def test_every_stream_counts_while_the_cluster_does_not_answer() -> None:
    snapshots = by_job(chain(8), s2="old:1", s4="last:1")
    assert expired(snapshots, main(8), needed=Needed(jobs=None)) == [1]


def test_a_job_that_read_all_its_input_never_comes_back() -> None:
    snapshots = by_job(chain(8), s2=f"batch:{ENDED}", s3=f"batch2:{ENDED}")
    assert expired(snapshots, main(8), needed=Needed(jobs=None)) == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("checkpoint", ["", f":{ENDED}"], ids=["without a checkpoint", "ended"])
def test_commits_that_hold_nothing(checkpoint: str) -> None:
    assert last_commits(by_job(chain(3), s2=f"job{checkpoint}"), [main(3)], None) == {}


@given(
    count=st.integers(1, 30),
    retain=st.integers(1, 10),
    max_age=st.integers(0, 1_100),
    marked=st.sets(st.integers(1, 30), max_size=3),
    tag=st.integers(1, 30),
)
def test_the_kept_history_of_a_branch_has_no_gap_and_holds_all_that_is_needed(
    count: int, retain: int, max_age: int, marked: set[int], tag: int
) -> None:
    snapshots = chain(count, at_ms=NOW - 40)
    refs = [main(count), RefFacts("tag", min(tag, count), False)]
    needed = Needed(dict.fromkeys(marked, "mark"), jobs=())
    plan = plan_expiry(snapshots, refs, Retention(max_age, retain), needed, NOW)
    kept = {one.id for one in snapshots} - set(plan.expired)
    assert {count, min(tag, count)} <= kept
    assert len(kept) >= min(retain, count)
    assert {one for one in marked if one <= count} <= kept
    assert all(one.at_ms < NOW - max_age for one in snapshots if one.id in plan.expired)
    # A tag alone may stand behind a gap.
    reached = sorted(kept - {min(tag, count)} | {count})
    assert reached[-1] == count
    assert set(range(reached[0], count + 1)) <= kept
    assert (
        plan_expiry([one for one in snapshots if one.id in kept], refs, Retention(max_age, retain), needed, NOW).expired
        == ()
    )
