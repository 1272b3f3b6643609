"""A server counts as ready when the process that runs now is."""

from __future__ import annotations

import pytest

from orchestration.embedded import readiness
from orchestration.settings import Settings


@pytest.mark.parametrize(
    ("registered", "listening", "is_ready"),
    [
        pytest.param([], set(), None, id="none registered"),
        pytest.param([{"slotsNumber": 8, "dataPort": 1}], {1}, True, id="registered and alive"),
        pytest.param([{"slotsNumber": 8, "dataPort": 1}], set(), None, id="killed, and still counted"),
        pytest.param([{"slotsNumber": 0, "dataPort": 1}], {1}, None, id="without slots"),
        pytest.param([{"slotsNumber": 8, "dataPort": 1}, {"slotsNumber": 8, "dataPort": 2}], {2}, True, id="its heir"),
    ],
)
def test_a_taskmanager_that_was_killed_is_not_ready(
    monkeypatch: pytest.MonkeyPatch, registered: list[dict[str, int]], listening: set[int], is_ready: bool | None
) -> None:
    monkeypatch.setattr(readiness, "_get", lambda url: ({"taskmanagers": registered}, url))
    monkeypatch.setattr(readiness, "_listens", lambda host, port: port in listening)
    assert readiness.taskmanager_ready(Settings())[0] is is_ready
