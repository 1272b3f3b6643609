"""Fixtures of the Flink client's tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import stamina

from tests.unit.flink.fakes import FakeFlink


@pytest.fixture(autouse=True)
def retries_do_not_wait() -> Iterator[None]:
    """Keep the number of attempts and drop the pauses between them."""
    with stamina.set_testing(True, attempts=5, cap=True):
        yield


@pytest.fixture
def flink() -> FakeFlink:
    """An empty cluster and a gateway that opens session s1."""
    return FakeFlink()
