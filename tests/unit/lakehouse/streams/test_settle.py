"""Up to which bronze snapshot the tables of a stream agree."""

from __future__ import annotations

import pytest

from orchestration.lakehouse.streams.commits import Commit
from orchestration.lakehouse.streams.settle import Settled, newest_settled

LIVE, OLD = "a" * 32, "b" * 32


def chain(*parts: tuple[str, int] | None) -> list[tuple[int, Commit | None]]:
    return [(n, None if part is None else Commit(n, *part)) for n, part in enumerate(parts, start=1)]


@pytest.mark.parametrize(
    ("snapshots", "settled", "expected"),
    [
        pytest.param(chain(), 5, None, id="an empty table"),
        pytest.param(chain((LIVE, 4), (LIVE, 5)), 5, 2, id="all is settled"),
        pytest.param(chain((LIVE, 5), (LIVE, 6)), 5, 1, id="the newest commit is not"),
        pytest.param(chain((LIVE, 6)), 5, None, id="no commit is"),
        pytest.param(chain((OLD, 90), (LIVE, 2)), 3, 2, id="a job of before counted further"),
        pytest.param(chain(None, (LIVE, 5), None), 5, 3, id="what others committed between"),
        pytest.param(chain((LIVE, 5), (LIVE, 6), None), 5, 1, id="nothing after one that is not settled"),
        pytest.param(chain((LIVE, 5), (LIVE, 6)), None, 2, id="no stream is alive"),
    ],
)
def test_the_newest_settled_snapshot(
    snapshots: list[tuple[int, Commit | None]], settled: int | None, expected: int | None
) -> None:
    known = None if settled is None else Settled(LIVE, settled, {})
    assert newest_settled(snapshots, known) == expected
