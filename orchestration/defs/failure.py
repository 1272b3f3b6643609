"""From our errors to Dagster's: one clear line, and a retry only for what a retry can heal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from orchestration.errors import MillraceError
from orchestration.storage_errors import storage_error_of

RETRIES = dg.RetryPolicy(max_retries=2, delay=2, backoff=dg.Backoff.EXPONENTIAL)
"""For retryable errors. Long enough for a killed server of the embedded stack to come back."""


@contextmanager
def failures(retry_number: int) -> Iterator[None]:
    """Turn an error of ours, or of the object store, that leaves the block into what Dagster shows or retries.

    All else passes untouched.

    Args:
        retry_number: retries of this step so far, `context.retry_number`.

    Raises:
        dg.RetryRequested: the error is retryable and retries are left.
        dg.Failure: else; its description is the error in one line, and Dagster does not try again.
    """
    try:
        yield
    except MillraceError as error:
        # Without the cause: its stack tells a user nothing that the message does not.
        raise as_dagster(error, retry_number) from (error if _wants_retry(error, retry_number) else None)
    except OSError as error:
        found = storage_error_of(error)
        if found is None:
            raise
        raise as_dagster(found, retry_number) from (error if _wants_retry(found, retry_number) else None)


def as_dagster(error: MillraceError, retry_number: int) -> dg.Failure | dg.RetryRequested:
    """Return the failure, or the request for a retry, that stands for `error`."""
    if _wants_retry(error, retry_number):
        return dg.RetryRequested(
            max_retries=RETRIES.max_retries, seconds_to_wait=RETRIES.calculate_delay(retry_number + 1)
        )
    return dg.Failure(description=describe(error), metadata=_metadata(error), allow_retries=False)


def describe(error: MillraceError) -> str:
    """Return the error and its remedy in one line."""
    return " ".join(str(error).split())


def _wants_retry(error: MillraceError, retry_number: int) -> bool:
    return error.is_retryable and retry_number < RETRIES.max_retries


def _metadata(error: MillraceError) -> dict[str, dg.MetadataValue]:
    shown: dict[str, dg.MetadataValue] = {"error": dg.MetadataValue.text(type(error).__name__)}
    for name, value in error.context.items():
        is_link = value.startswith(("http://", "https://"))
        shown[name] = dg.MetadataValue.url(value) if is_link else dg.MetadataValue.text(value)
    if error.hint:
        shown["what_to_do"] = dg.MetadataValue.text(error.hint)
    return shown


@dg.failure_hook
def say_why(context: dg.HookContext) -> None:
    """Repeat the reason of a failed step as one line: in a terminal it stands below the stack trace."""
    say, name, cause = context.log.error, context.op.name, context.op_exception
    if isinstance(cause, dg.Failure) and cause.description:
        say(f"{name} failed: {cause.description}")
    elif cause is not None:
        say(f"{name} failed: {type(cause).__name__}: {' '.join(str(cause).split())}")
