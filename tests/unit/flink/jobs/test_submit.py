"""Submit, adopt, wait, cancel: what happens to a batch job under every fault."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest

from orchestration.errors import (
    FlinkError,
    JobFailedError,
    JobTimeoutError,
    StatementError,
    TaskManagerLostError,
    UnreachableError,
)
from orchestration.flink.client.failures import DuplicateJobError, JobNotFoundError
from orchestration.flink.client.models import JobDetail
from orchestration.flink.jobs.submit import JobResult, run_job
from orchestration.flink.jobs.wait import cancel_job, find_live_jobs
from orchestration.flink.sessions.session import open_session
from tests.unit.flink.fakes import EOS, FakeFlink, insert_page, page, server_error

NAME, SQL = "millrace.bronze.taxi", "INSERT INTO b SELECT * FROM s"
OURS, OTHER = "a" * 32, "b" * 32
CAST = (
    "org.apache.flink.runtime.JobException: Recovery is suppressed by NoRestart\n\tat a.b(C.java:1)\n"
    "Caused by: java.lang.NumberFormatException: For input string: 'abc'\n\tat a.b(C.java:1)\n"
)
DUPLICATE = "org.apache.flink.runtime.client.DuplicateJobSubmissionException: Job has already been submitted."


class Interrupt(BaseException):
    """As Dagster's interrupt: no Exception."""


def run(
    flink: FakeFlink,
    *,
    job_id: str | None = None,
    timeout_s: float = 1800,
    on_progress: Callable[[JobDetail], None] | None = None,
) -> JobResult:
    with open_session(flink.gateway(), mode="batch", timing=flink.timing) as session:
        return run_job(
            session,
            flink.rest(),
            SQL,
            name=NAME,
            job_id=job_id,
            timeout_s=timeout_s,
            on_progress=on_progress,
            patience=flink.patience,
        )


def submits(flink: FakeFlink, *states: str, exception: str | None = None) -> None:
    """Let a submit start a job that goes through `states`."""
    flink.on_submit = lambda body: flink.add_job(OURS, NAME, *states, exception=exception)
    flink.pages = [insert_page(OURS)]


def test_a_job_is_submitted_under_its_name_and_waited_for(flink: FakeFlink) -> None:
    submits(flink, "CREATED", "RUNNING", "RUNNING", "FINISHED")
    result = run(flink)
    assert flink.statements == [
        {"statement": SQL, "executionConfig": {"pipeline.name": NAME, "table.dml-sync": "false"}}
    ]
    assert (result.job_id, result.name, result.state, result.adopted) == (OURS, NAME, "FINISHED", False)
    assert (result.duration_s, result.vertices[0].metrics.write_records) == (2.5, 7)
    assert (result.records_read("t"), result.records_read("s")) == (9, 0)
    assert result.url == f"http://jobmanager:8081/#/job/running/{OURS}/overview"


def test_a_fixed_id_is_handed_to_flink(flink: FakeFlink) -> None:
    submits(flink, "FINISHED")
    run(flink, job_id=OURS)
    assert flink.statements[0]["executionConfig"]["$internal.pipeline.job-id"] == OURS  # type: ignore[index]


def test_polling_slows_from_50_to_200_ms(flink: FakeFlink) -> None:
    submits(flink, *["RUNNING"] * 20, "FINISHED")
    run(flink)
    assert flink.clock.sleeps[0] == 0.05
    assert max(flink.clock.sleeps) == 0.2


def test_progress_is_reported_at_each_look(flink: FakeFlink) -> None:
    submits(flink, "CREATED", "RUNNING", "FINISHED")
    seen: list[str] = []
    run(flink, on_progress=lambda detail: seen.append(detail.state))
    assert seen == ["CREATED", "RUNNING", "FINISHED"]


@pytest.mark.parametrize("state", ["INITIALIZING", "CREATED", "RUNNING", "RESTARTING", "RECONCILING", "SUSPENDED"])
def test_a_live_job_of_the_name_is_adopted(flink: FakeFlink, state: str) -> None:
    flink.add_job(OTHER, NAME, state, "RUNNING", "FINISHED")
    result = run(flink)
    assert (result.job_id, result.adopted) == (OTHER, True)
    assert flink.statements == []


@pytest.mark.parametrize("state", ["CANCELLING", "FAILING"])
def test_a_job_on_its_way_out_is_waited_for_and_replaced(flink: FakeFlink, state: str) -> None:
    flink.add_job(OTHER, NAME, state, state, "CANCELED")
    submits(flink, "FINISHED")
    assert run(flink).job_id == OURS
    assert flink.jobs[OTHER].states == ["CANCELED"]


@pytest.mark.parametrize("state", ["FINISHED", "FAILED", "CANCELED"])
def test_a_job_that_is_over_is_not_adopted(flink: FakeFlink, state: str) -> None:
    flink.add_job(OTHER, NAME, state)
    submits(flink, "FINISHED")
    assert run(flink).job_id == OURS


def test_a_job_of_another_name_is_not_adopted(flink: FakeFlink) -> None:
    flink.add_job(OTHER, f"{NAME}2", "RUNNING")
    submits(flink, "FINISHED")
    assert run(flink).adopted is False


def test_several_live_jobs_of_the_name_are_refused_with_their_ids(flink: FakeFlink) -> None:
    flink.add_job(OURS, NAME, "RUNNING")
    flink.add_job(OTHER, NAME, "RUNNING")
    with pytest.raises(FlinkError, match=f"2 live Flink jobs are called {NAME}: {OURS}, {OTHER}"):
        run(flink)
    assert flink.statements == []


def test_an_unknown_state_ends_the_wait_with_its_name(flink: FakeFlink) -> None:
    submits(flink, "RUNNING", "HIBERNATING")
    with pytest.raises(FlinkError, match="HIBERNATING"):
        run(flink)


def test_a_failed_job_raises_its_root_cause(flink: FakeFlink) -> None:
    submits(flink, "RUNNING", "FAILED", exception=CAST)
    with pytest.raises(JobFailedError) as caught:
        run(flink)
    assert caught.value.root_cause == "NumberFormatException: For input string: 'abc'"
    assert caught.value.message == f"Flink job {NAME} ({OURS}) failed: {caught.value.root_cause}"
    assert caught.value.context["url"].endswith(f"{OURS}/overview")
    assert caught.value.state == "FAILED"


@pytest.mark.parametrize(
    "cause",
    [
        "org.apache.flink.runtime.resourcemanager.exceptions.ResourceManagerException: TaskManager with id "
        "taskmanager-test is no longer reachable.",
        "java.util.concurrent.TimeoutException: The heartbeat of TaskManager with id taskmanager-test timed out.",
        "org.apache.flink.runtime.jobmanager.scheduler.NoResourceAvailableException: Could not acquire the minimum "
        "required resources.",
    ],
    ids=["gone", "silent", "no slot"],
)
def test_a_job_that_lost_its_taskmanager_can_be_run_again(flink: FakeFlink, cause: str) -> None:
    submits(flink, "RUNNING", "FAILED", exception=cause)
    with pytest.raises(TaskManagerLostError) as caught:
        run(flink)
    assert caught.value.is_retryable


def test_a_canceled_job_is_a_failure(flink: FakeFlink) -> None:
    submits(flink, "RUNNING", "CANCELED")
    with pytest.raises(JobFailedError, match="was canceled") as caught:
        run(flink)
    assert caught.value.state == "CANCELED"


def test_a_refused_statement_is_raised_as_it_is(flink: FakeFlink) -> None:
    flink.pages = [server_error("org.apache.flink.table.api.ValidationException: bad column")]
    with pytest.raises(StatementError, match="bad column"):
        run(flink)
    assert flink.count("PATCH") == 0


def test_a_statement_without_a_job_is_refused(flink: FakeFlink) -> None:
    flink.pages = [page([["OK"]], columns=[("result", {"type": "VARCHAR"})], token=1), EOS]
    with pytest.raises(FlinkError, match="started no Flink job"):
        run(flink)


def test_a_job_that_takes_too_long_is_left_running_and_its_last_failure_told(flink: FakeFlink) -> None:
    submits(flink, "RESTARTING", exception=CAST)
    with pytest.raises(
        JobTimeoutError, match=r"last seen: RESTARTING; its latest failure: NumberFormatException"
    ) as caught:
        run(flink, timeout_s=60)
    assert flink.count("PATCH") == 0
    assert f"jobs cancel {OURS}" in (caught.value.hint or "")


def lost_answer(request: httpx.Request) -> httpx.Response:
    raise httpx.ReadTimeout("x", request=request)


@pytest.mark.parametrize("job_id", [None, OURS], ids=["by-name", "by-id"])
def test_after_a_lost_answer_the_job_is_looked_up_and_never_submitted_again(
    flink: FakeFlink, job_id: str | None
) -> None:
    flink.add_job(OTHER, NAME, "FINISHED")
    flink.overrides["POST /v1/sessions/s1/statements"] = lost_answer

    def appear() -> None:
        if len(flink.clock.sleeps) == 3:
            flink.add_job(OURS, NAME, "RUNNING", "FINISHED")

    flink.clock.on_sleep = appear
    result = run(flink, job_id=job_id)
    assert (result.job_id, result.adopted) == (OURS, False)
    assert flink.count("POST /v1/sessions/s1/statements") == 1


def test_a_lost_answer_without_a_job_says_that_the_outcome_is_unknown(flink: FakeFlink) -> None:
    flink.overrides["POST /v1/sessions/s1/statements"] = lost_answer
    with pytest.raises(FlinkError, match=f"it is not known whether Flink took job {NAME}") as caught:
        run(flink)
    assert caught.value.hint == "run again: a job that still appears is adopted, not submitted twice"
    assert flink.count("POST /v1/sessions/s1/statements") == 1
    assert flink.count("DELETE /v1/sessions/s1") == 1


def test_a_gateway_that_restarts_after_the_submit_does_not_matter(flink: FakeFlink) -> None:
    submits(flink, "RUNNING", "FINISHED")
    flink.pages = [
        server_error("org.apache.flink.table.gateway.api.utils.SqlGatewayException: Session 's1' does not exist.")
    ]
    assert run(flink).job_id == OURS


def test_a_gateway_that_is_down_from_the_start_is_unreachable(flink: FakeFlink) -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("x", request=request)

    flink.overrides["POST /v1/sessions/s1/statements"] = refuse
    with pytest.raises(UnreachableError, match="SQL Gateway"):
        run(flink)


@pytest.mark.parametrize("states", [("RUNNING", "FINISHED"), ("FINISHED",)], ids=["running", "finished"])
def test_a_second_submit_of_the_same_id_waits_for_the_first(flink: FakeFlink, states: tuple[str, ...]) -> None:
    flink.add_job(OURS, "another name", *states)
    flink.pages = [server_error(DUPLICATE)]
    result = run(flink, job_id=OURS)
    assert (result.job_id, result.adopted) == (OURS, True)


def test_a_second_submit_of_an_id_that_failed_raises_that_failure(flink: FakeFlink) -> None:
    flink.add_job(OURS, NAME, "FAILED", exception=CAST)
    flink.pages = [server_error(DUPLICATE)]
    with pytest.raises(JobFailedError, match="NumberFormatException"):
        run(flink, job_id=OURS)


def test_a_second_submit_of_a_forgotten_id_is_a_clear_error(flink: FakeFlink) -> None:
    flink.pages = [server_error(DUPLICATE)]
    with pytest.raises(DuplicateJobError, match="is over and was forgotten") as caught:
        run(flink, job_id=OURS)
    assert caught.value.hint == "submit with a new job id"


@pytest.mark.parametrize("kind", [KeyboardInterrupt, Interrupt, ZeroDivisionError])
def test_an_interrupt_cancels_the_job_waits_and_goes_on(flink: FakeFlink, kind: type[BaseException]) -> None:
    submits(flink, "RUNNING")

    def interrupt(detail: JobDetail) -> None:
        raise kind

    with pytest.raises(kind):
        run(flink, on_progress=interrupt)
    assert flink.count(f"PATCH /jobs/{OURS}?mode=cancel") == 1
    assert flink.jobs[OURS].states == ["CANCELED"]


def test_an_interrupt_cancels_an_adopted_job_too(flink: FakeFlink) -> None:
    flink.add_job(OTHER, NAME, "RUNNING")
    flink.clock.on_sleep = interrupt_once()
    with pytest.raises(KeyboardInterrupt):
        run(flink)
    assert flink.jobs[OTHER].states == ["CANCELED"]


def interrupt_once() -> Callable[[], None]:
    pending = [KeyboardInterrupt()]

    def interrupt() -> None:
        if pending:
            raise pending.pop()

    return interrupt


def test_an_interrupt_during_the_submit_cancels_the_job_that_appears(flink: FakeFlink) -> None:
    flink.pages = [{"resultType": "NOT_READY", "results": {"columns": [], "data": []}}]
    raise_interrupt = interrupt_once()

    def appear_late() -> None:
        if len(flink.clock.sleeps) == 4:
            flink.add_job(OURS, NAME, "RUNNING")
        raise_interrupt()

    flink.clock.on_sleep = appear_late
    with pytest.raises(KeyboardInterrupt):
        run(flink)
    assert flink.jobs[OURS].states == ["CANCELED"]
    assert flink.count("DELETE /v1/sessions/s1/operations/op/close") == 1


def test_an_interrupt_whose_cancel_fails_says_so(flink: FakeFlink) -> None:
    submits(flink, "RUNNING")
    flink.clock.on_sleep = interrupt_once()
    flink.overrides["PATCH"] = lambda request: server_error("a.b.XException: no", 500)
    with pytest.raises(KeyboardInterrupt) as caught:
        run(flink)
    assert "could not be canceled" in caught.value.__notes__[0]


def silent_for(flink: FakeFlink, seconds: float) -> Callable[[httpx.Request], httpx.Response]:
    until = flink.clock.now + seconds

    def answer(request: httpx.Request) -> httpx.Response:
        if flink.clock.now < until:
            raise httpx.ConnectError("x", request=request)
        return flink._jobs("GET", [OURS])

    return answer


def test_a_jobmanager_that_comes_back_within_30_s_does_not_matter(flink: FakeFlink) -> None:
    submits(flink, "RUNNING", "FINISHED")
    flink.overrides[f"GET /jobs/{OURS}"] = silent_for(flink, 25)
    assert run(flink).state == "FINISHED"


def test_a_jobmanager_that_stays_silent_is_unreachable(flink: FakeFlink) -> None:
    submits(flink, "RUNNING")
    flink.overrides[f"GET /jobs/{OURS}"] = silent_for(flink, 1e9)
    with pytest.raises(UnreachableError, match=r"does not answer, for 30 s while job a+ was unknown"):
        run(flink)
    assert flink.clock.now < 1040


def test_a_job_that_the_jobmanager_forgot_is_lost(flink: FakeFlink) -> None:
    submits(flink, "RUNNING")
    flink.clock.on_sleep = lambda: flink.jobs.pop(OURS, None)
    with pytest.raises(
        JobFailedError, match="is lost: the cluster no longer knows it, the last state seen was RUNNING"
    ) as caught:
        run(flink)
    assert caught.value.state == "LOST"


def test_a_job_that_a_restarted_jobmanager_recovers_is_waited_for(flink: FakeFlink) -> None:
    submits(flink, "RUNNING")
    job = flink.on_submit

    def restart() -> None:
        match len(flink.clock.sleeps):
            case 2:
                flink.jobs.clear()
            case 40:
                flink.add_job(OURS, NAME, "RECONCILING", "RUNNING", "FINISHED")
            case _:
                pass

    assert job is not None
    flink.clock.on_sleep = restart
    assert run(flink).state == "FINISHED"


def test_an_unreachable_cluster_is_told_before_anything_is_submitted(flink: FakeFlink) -> None:
    flink.overrides["GET /jobs/overview"] = lost_answer
    with pytest.raises(UnreachableError, match="JobManager"):
        run(flink)
    assert flink.statements == []


@pytest.mark.parametrize(
    ("states", "expected"),
    [(("RUNNING",), "CANCELED"), (("FINISHED",), "FINISHED"), (("FAILED",), "FAILED"), (("CANCELED",), "CANCELED")],
)
def test_cancel_ends_in_a_terminal_state(flink: FakeFlink, states: tuple[str, ...], expected: str) -> None:
    job = flink.add_job(OURS, NAME, *states)
    if expected in ("FINISHED", "FAILED"):
        flink.overrides["PATCH"] = lambda request: httpx.Response(409, json={"errors": ["x"]})
    assert cancel_job(flink.rest(), OURS, patience=flink.patience) == expected
    assert job.states == [expected]


def test_canceling_an_unknown_job_says_so(flink: FakeFlink) -> None:
    with pytest.raises(JobNotFoundError):
        cancel_job(flink.rest(), OURS, patience=flink.patience)


def test_live_jobs_are_found_by_their_exact_name(flink: FakeFlink) -> None:
    for number, state in enumerate(["RUNNING", "FINISHED", "RESTARTING", "FAILED", "CANCELLING"]):
        flink.add_job(f"{number}" * 32, NAME, state)
    flink.add_job(OTHER, NAME.upper(), "RUNNING")
    assert [job.state for job in find_live_jobs(flink.rest(), NAME)] == ["RUNNING", "RESTARTING", "CANCELLING"]
