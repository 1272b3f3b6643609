"""Which files and manifests are written anew together: by their statistics alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestration.catalog.compaction import (
    MANIFESTS_TO_MERGE,
    FileFacts,
    ManifestFacts,
    SizePolicy,
    batches,
    plan_groups,
    plan_manifests,
)

POLICY = SizePolicy(target_bytes=100, min_bytes=25, min_files=5)


def files(*sizes: int, partition: object = "a", deleted: int = 0, first: int = 0) -> list[FileFacts]:
    return [
        FileFacts(f"{partition}-{first + n:04}", partition, size, 10, first + n, deleted)
        for n, size in enumerate(sizes)
    ]


def sizes(groups: list[tuple[FileFacts, ...]]) -> list[list[int]]:
    return [[file.size_bytes for file in group] for group in groups]


@pytest.mark.parametrize(
    ("given_files", "wanted"),
    [
        pytest.param([], [], id="no file"),
        pytest.param(files(1, 1, 1, 1), [], id="four small files are not many"),
        pytest.param(files(1, 1, 1, 1, 1), [[1, 1, 1, 1, 1]], id="five are"),
        pytest.param(files(24, 24, 24, 24), [[24, 24, 24, 24]], id="four that fill a whole file"),
        pytest.param(files(25, 26, 99, 100, 400), [], id="none is small"),
        pytest.param(files(1, 1, 60, 1, 1, 1), [[1, 1, 1, 1, 1]], id="a large one between them stays"),
        pytest.param(files(*[24] * 9), [[24] * 4, [24] * 4], id="two whole files, and one small file left"),
        pytest.param(files(1, 1, 1) + files(1, 1, 1, partition="b"), [], id="three in each of two partitions"),
        pytest.param(files(60, deleted=1), [[60]], id="a large file with deletes"),
        pytest.param(files(400, deleted=1), [[400]], id="one beyond the target with deletes"),
        pytest.param(files(1, deleted=10), [[1]], id="a file of which nothing is left"),
        pytest.param(files(60, deleted=1) + files(30, first=5), [[60]], id="a whole neighbour stays"),
        pytest.param(files(60, deleted=1) + files(3, first=5), [[60, 3]], id="a small neighbour goes along"),
    ],
)
def test_only_many_small_files_and_deletes_are_worth_a_rewrite(
    given_files: list[FileFacts], wanted: list[list[int]]
) -> None:
    assert sizes(plan_groups(given_files, POLICY)) == wanted


def test_files_are_packed_in_order_of_arrival() -> None:
    [group] = plan_groups(reversed(files(*range(1, 8))), POLICY)
    assert [file.sequence for file in group] == list(range(7))


facts = st.builds(
    FileFacts,
    path=st.uuids().map(str),
    partition=st.sampled_from(["a", "b"]),
    size_bytes=st.integers(1, 150),
    rows=st.just(10),
    sequence=st.integers(0, 9),
    deleted_rows=st.sampled_from([0, 0, 0, 3]),
)


@given(st.lists(facts, max_size=60))
def test_a_plan_touches_no_file_twice_mixes_no_partitions_and_makes_no_file_too_large(found: list[FileFacts]) -> None:
    groups = plan_groups(found, POLICY)
    taken = [file.path for group in groups for file in group]
    assert len(taken) == len(set(taken))
    for group in groups:
        assert len({file.partition for file in group}) == 1
        assert len(group) == 1 or sum(file.size_bytes for file in group) <= POLICY.target_bytes
        assert all(file.size_bytes < POLICY.min_bytes or file.deleted_rows for file in group)


@given(st.lists(facts, max_size=60))
def test_what_is_left_needs_no_second_plan_unless_it_shrank(found: list[FileFacts]) -> None:
    for _ in range(3):
        groups = plan_groups(found, POLICY)
        gone = {file.path for group in groups for file in group}
        merged = [
            FileFacts(
                f"merged {group[0].path}",
                group[0].partition,
                sum(file.size_bytes for file in group),
                10,
                group[0].sequence,
            )
            for group in groups
        ]
        found = [file for file in found if file.path not in gone] + merged
    assert plan_groups(found, POLICY) == []


def manifests(count: int, size: int = 1, kind: object = 0) -> list[ManifestFacts]:
    return [ManifestFacts(f"{kind}-{size}-{n}", kind, size) for n in range(count)]


@pytest.mark.parametrize(
    ("found", "wanted"),
    [
        pytest.param(manifests(MANIFESTS_TO_MERGE - 1), [], id="few"),
        pytest.param(manifests(MANIFESTS_TO_MERGE), [MANIFESTS_TO_MERGE], id="many"),
        pytest.param(manifests(20, size=50), [], id="many, none small"),
        pytest.param(manifests(20, size=40), [2] * 10, id="as many as fit into one"),
        pytest.param(manifests(6) + manifests(6, kind=1), [], id="few of each kind"),
    ],
)
def test_manifests_are_merged_where_many_are_small(found: list[ManifestFacts], wanted: list[int]) -> None:
    assert [len(group) for group in plan_manifests(found, 100)] == wanted


def test_a_commit_replaces_no_more_than_its_share() -> None:
    groups = [tuple(files(60, partition=name)) for name in "abcde"]
    assert [len(lot) for lot in batches(groups, 120)] == [2, 2, 1]
    assert batches([], 120) == []
