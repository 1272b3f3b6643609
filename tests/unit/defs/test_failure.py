"""From our errors to Dagster's."""

from __future__ import annotations

import dagster as dg
import pytest

from orchestration.dbt_plugin.runner import DbtRun
from orchestration.defs.dbt_results import raise_failed
from orchestration.defs.failure import RETRIES, as_dagster, failures
from orchestration.errors import BusyError, JobFailedError, MillraceError, UnreachableError


@pytest.mark.parametrize("retry_number", [0, 1])
def test_a_retryable_error_asks_for_a_later_retry_each_time(retry_number: int) -> None:
    request = as_dagster(UnreachableError("silent"), retry_number)
    assert isinstance(request, dg.RetryRequested)
    assert request.max_retries == RETRIES.max_retries
    assert request.seconds_to_wait == (2, 6)[retry_number]


@pytest.mark.parametrize(
    ("error", "retry_number"),
    [
        pytest.param(BusyError("held"), 2, id="retries are used up"),
        pytest.param(JobFailedError("failed"), 0, id="not retryable"),
    ],
)
def test_the_rest_is_a_failure_that_is_not_tried_again(error: MillraceError, retry_number: int) -> None:
    failure = as_dagster(error, retry_number)
    assert isinstance(failure, dg.Failure)
    assert failure.allow_retries is False


def test_a_failure_is_one_line_with_the_remedy_and_links_what_is_an_address() -> None:
    error = JobFailedError("job x\n  failed", hint="look there", context={"url": "http://flink/x", "job_id": "x"})
    failure = as_dagster(error, 0)
    assert isinstance(failure, dg.Failure)
    assert failure.description == "job x failed (look there)"
    assert {name: value.value for name, value in failure.metadata.items()} == {
        "error": "JobFailedError",
        "url": "http://flink/x",
        "job_id": "x",
        "what_to_do": "look there",
    }
    assert isinstance(failure.metadata["url"], dg.UrlMetadataValue)


def test_no_secret_reaches_a_failure() -> None:
    failure = as_dagster(MillraceError("refused", context={"options": "password=hunter2"}), 0)
    assert isinstance(failure, dg.Failure)
    assert "hunter2" not in str(failure.metadata)


def test_a_store_that_went_away_is_tried_again_and_refused_keys_are_not() -> None:
    gone = "When reading 'x' in bucket 'lake': AWS Error NETWORK_CONNECTION during HeadObject operation: curlCode: 7"
    with pytest.raises(dg.RetryRequested), failures(0):
        raise OSError(gone)
    with pytest.raises(dg.Failure, match="does not answer"), failures(RETRIES.max_retries):
        raise OSError(gone)
    with pytest.raises(dg.Failure, match="does not accept the keys"), failures(0):
        raise OSError("AWS Error INVALID_ACCESS_KEY_ID during HeadObject operation: Forbidden")


def test_a_build_that_met_no_store_is_tried_again() -> None:
    run = DbtRun("build", False, 1.0, (), UnreachableError("the object store does not answer"))
    with pytest.raises(dg.RetryRequested), failures(0):
        raise_failed(run)


@pytest.mark.parametrize("error", [ValueError("a bug"), KeyboardInterrupt(), OSError(28, "No space left")])
def test_what_is_not_ours_passes_untouched(error: BaseException) -> None:
    with pytest.raises(type(error)) as caught, failures(0):
        raise error
    assert caught.value is error


def test_a_failure_carries_no_second_stack() -> None:
    with pytest.raises(dg.Failure) as caught, failures(0):
        raise JobFailedError("failed")
    assert caught.value.__suppress_context__
