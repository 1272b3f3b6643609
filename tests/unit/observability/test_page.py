"""The page: a source that fails or hangs takes nothing from the others, and ten scrapes cost one."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
from prometheus_client.metrics_core import Metric

from orchestration.errors import UnreachableError
from orchestration.observability.families import gauge
from orchestration.observability.page import Page, Source
from tests.unit.observability.samples import by_name


class Clock:
    """Time that the test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Told:
    """A source that counts how often it is asked, and can be made to fail or to hang."""

    def __init__(self, name: str) -> None:
        self.name, self.asked = name, 0
        self.error: Exception | None = None
        self.go = threading.Event()
        self.go.set()

    def __call__(self) -> Sequence[Metric]:
        self.asked += 1
        self.go.wait(30)
        if self.error is not None:
            raise self.error
        return [gauge(f"{self.name}_value", "A value", (), {(): self.asked})]


@pytest.fixture
def told() -> Iterator[Told]:
    made = Told("one")
    yield made
    made.go.set()


def test_the_page_has_every_source_and_how_asking_went(told: Told) -> None:
    page = Page([Source("one", told), Source("two", Told("two"))])
    found = by_name(page.collect())
    assert found["one_value"] == {(): 1.0}
    assert found["two_value"] == {(): 1.0}
    assert found["millrace_scrape_success"] == {("one",): 1.0, ("two",): 1.0}
    assert set(found["millrace_scrape_duration_seconds"]) == {("one",), ("two",)}
    assert "millrace_scrape_failure" not in found


@pytest.mark.parametrize(
    ("error", "code"),
    [(UnreachableError("the broker at secret:9092 is gone"), "unreachable"), (RuntimeError("oh"), "RuntimeError")],
    ids=["ours", "a library's"],
)
def test_a_source_that_fails_is_missing_and_says_why_by_code_only(told: Told, error: Exception, code: str) -> None:
    told.error = error
    expected = error.code if isinstance(error, UnreachableError) else code
    found = by_name(Page([Source("one", told), Source("two", Told("two"))]).collect())
    assert "one_value" not in found
    assert found["two_value"] == {(): 1.0}
    assert found["millrace_scrape_success"] == {("one",): 0.0, ("two",): 1.0}
    assert found["millrace_scrape_failure"] == {("one", expected): 1.0}


def test_a_source_that_hangs_is_waited_for_once_and_never_started_twice(told: Told) -> None:
    told.go.clear()
    page = Page([Source("one", told, timeout_s=0.2)])
    for _ in range(3):
        found = by_name(page.collect())
        assert found["millrace_scrape_failure"] == {("one", "timeout"): 1.0}
    assert told.asked == 1
    assert found["millrace_scrape_duration_seconds"]["one",] >= 0.2


def test_an_answer_is_kept_and_asked_for_again_when_it_is_old(told: Told) -> None:
    clock = Clock()
    page = Page([Source("one", told, keep_s=5.0)], clock)
    values = []
    for moved in (0.0, 4.9, 0.2):
        clock.now += moved
        values.append(by_name(page.collect())["one_value"][()])
    assert values == [1.0, 1.0, 2.0]


def test_a_failure_is_kept_too(told: Told) -> None:
    told.error = UnreachableError("gone")
    clock = Clock()
    page = Page([Source("one", told, keep_s=5.0)], clock)
    by_name(page.collect())
    told.error = None
    assert by_name(page.collect())["millrace_scrape_success"] == {("one",): 0.0}
    clock.now += 6
    assert by_name(page.collect())["millrace_scrape_success"] == {("one",): 1.0}
    assert told.asked == 2


def test_ten_scrapers_at_once_cost_one(told: Told) -> None:
    told.go.clear()
    page = Page([Source("one", told, timeout_s=30.0)])
    with ThreadPoolExecutor(10) as pool:
        scrapes = [pool.submit(lambda: by_name(page.collect())) for _ in range(10)]
        told.go.set()
        assert {scrape.result()["one_value"][()] for scrape in scrapes} == {1.0}
    assert told.asked == 1
