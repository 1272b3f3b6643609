"""Running one check: errors and time limits become results."""

from __future__ import annotations

from threading import Event

import pytest

from orchestration.errors import UnreachableError
from orchestration.validation.results import Outcome, check, within


def test_an_outcome_becomes_a_result_of_its_stage() -> None:
    result = check("data", "rows", 5, lambda: Outcome(False, "10 rows missing", "100 = 90", "run it"))
    assert (result.stage, result.name, result.passed) == ("data", "rows", False)
    assert (result.message, result.detail, result.hint) == ("10 rows missing", "100 = 90", "run it")


def test_a_check_that_passed_gives_no_hint() -> None:
    assert check("data", "rows", 5, lambda: Outcome(True, "fine", hint="do something")).hint is None


def test_an_error_of_ours_is_a_failure_with_its_text_and_hint() -> None:
    def look() -> Outcome:
        raise UnreachableError("the broker does not answer", hint="start it")

    result = check("health", "broker", 5, look)
    assert (result.passed, result.message, result.hint) == (False, "the broker does not answer", "start it")


def test_a_check_that_takes_too_long_is_a_failure_that_says_so() -> None:
    release = Event()
    result = check("health", "broker", 0.01, lambda: Outcome(release.wait(5), "late"))
    release.set()
    assert (result.passed, result.message) == (False, "no answer within 0.01 s")


def test_a_fault_of_the_program_is_not_hidden_as_a_failed_check() -> None:
    with pytest.raises(ZeroDivisionError):
        check("data", "rows", 5, lambda: Outcome(1 / 0 > 0, ""))


def test_within_returns_the_value() -> None:
    assert within(5, lambda: 7) == 7
