"""What is done with a file, by what the ledger knows of it."""

from __future__ import annotations

import pytest

from orchestration.errors import ConfigError
from orchestration.generator.ledger import FileHistory, LedgerEntry, Status
from orchestration.generator.plan import Plan, Resume, Skip, Start, plan_landing

OPTIONS: dict[str, object] = {"key_field": "Zone", "topic_partitions": 4}


def entry(status: Status, attempt: int = 0, **options: object) -> LedgerEntry:
    return LedgerEntry(
        dataset="rides", topic="rides.raw", sha256="ab", attempt=attempt, path="x", rows=9, events=8, dead_lettered=1,
        partitions=4, status=status, options=OPTIONS | options, start_offsets={},
    )  # fmt: skip


STARTED, PARTIAL, LANDED = entry("started"), entry("partial"), entry("landed")


@pytest.mark.parametrize(
    ("entries", "again", "expected"),
    [
        pytest.param([], False, Start(0), id="unknown"),
        pytest.param([], True, Start(0), id="unknown, again"),
        pytest.param([STARTED], False, Resume(STARTED), id="killed"),
        pytest.param([STARTED], True, Resume(STARTED), id="killed, again: complete it first"),
        pytest.param([STARTED, PARTIAL], False, Resume(STARTED), id="partial: from its start"),
        pytest.param([STARTED, LANDED], False, Skip(LANDED), id="landed"),
        pytest.param([STARTED, LANDED], True, Start(1), id="landed, again"),
        pytest.param([entry("started", 3), entry("landed", 3)], True, Start(4), id="again and again"),
        pytest.param([entry("started", key_field="fare")], True, Start(1), id="key changed, again"),
    ],
)
def test_the_ledger_decides(entries: list[LedgerEntry], again: bool, expected: Plan) -> None:
    assert plan_landing(FileHistory(tuple(entries)), OPTIONS, again=again, path="x") == expected


def test_a_changed_partition_count_refuses_to_resume_and_says_so() -> None:
    history = FileHistory((entry("started", topic_partitions=3),))
    with pytest.raises(ConfigError, match=r"topic_partitions was 3, is 4") as caught:
        plan_landing(history, OPTIONS, again=False, path="x")
    assert "--again" in (caught.value.hint or "")
