import inspect

import pytest

from orchestration import errors
from orchestration.errors import ConfigError, JobFailedError, MillraceError, UnreachableError

ALL = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, MillraceError)]
PLANTED = "Zq7Xw9Vk"


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_every_error_takes_message_hint_and_context_and_says_what_it_is(kind: type[MillraceError]) -> None:
    error = kind("topic taxi.raw is gone", hint="create it", context={"topic": "taxi.raw", "partition": 3})
    assert str(error) == "topic taxi.raw is gone (create it)"
    assert error.context == {"topic": "taxi.raw", "partition": "3"}
    assert kind.__doc__


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_no_error_exits_with_success(kind: type[MillraceError]) -> None:
    assert 1 <= kind.exit_code <= 125


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_the_tree_in_the_docstring_names_every_error(kind: type[MillraceError]) -> None:
    assert kind.__name__ in (errors.__doc__ or "")


def test_secrets_are_removed_from_every_part() -> None:
    error = JobFailedError(
        f"job failed: password={PLANTED}",
        hint=f"look at http://u:{PLANTED}@h/",
        context={"sql": f"'secret' = '{PLANTED}'"},
        root_cause=f'{{"token": "{PLANTED}"}}',
    )
    shown = [str(error), repr(error), error.message, error.hint, error.root_cause, *error.context.values(), *error.args]
    assert PLANTED not in " ".join(str(part) for part in shown)


def test_without_a_hint_the_text_is_the_message() -> None:
    assert str(MillraceError("gone")) == "gone"


@pytest.mark.parametrize(
    "name", ["UnreachableError", "BusyError", "ProduceError", "SessionLostError", "JobTimeoutError"]
)
def test_what_may_pass_by_itself_is_retryable(name: str) -> None:
    assert getattr(errors, name).is_retryable


@pytest.mark.parametrize("name", ["ConfigError", "ContractError", "InputError", "StatementError", "JobFailedError"])
def test_what_only_a_person_can_mend_is_not_retryable(name: str) -> None:
    assert not getattr(errors, name).is_retryable


def test_a_users_mistake_and_a_dead_service_have_exit_codes_of_their_own() -> None:
    assert (ConfigError.exit_code, UnreachableError.exit_code) == (2, 5)


def test_a_failed_job_keeps_its_state() -> None:
    assert JobFailedError("x", root_cause="boom", state="CANCELED").state == "CANCELED"
