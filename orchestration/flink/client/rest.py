"""Client of the Flink cluster's REST API: jobs, their failures, checkpoints, and the ways to stop one.

Endpoints as of Flink 2.1: https://nightlies.apache.org/flink/flink-docs-release-2.1/docs/ops/rest_api/
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Self, TypeVar
from urllib.parse import quote

import httpx
from pydantic import Field

from orchestration.errors import FlinkError, JobTimeoutError
from orchestration.flink.client.connection import NORMAL_HTTP, HttpOptions
from orchestration.flink.client.failures import JobNotFoundError
from orchestration.flink.client.http import Answer, JsonHttp
from orchestration.flink.client.models import (
    TERMINAL,
    CheckpointOutcome,
    Checkpoints,
    CheckpointTrigger,
    ClusterOverview,
    FailureCause,
    JobDetail,
    JobExceptions,
    JobOverview,
    SavepointOutcome,
    SavepointTrigger,
    TaskManagerInfo,
    Wire,
)
from orchestration.flink.client.traces import root_cause
from orchestration.waiting import Backoff, WaitTimeoutError, wait_for

T = TypeVar("T")

_OUTCOME_POLL = Backoff(first_s=0.2, most_s=2.0)


class _Jobs(Wire):
    jobs: tuple[JobOverview, ...] = ()


class _TaskManagers(Wire):
    taskmanagers: tuple[TaskManagerInfo, ...] = ()


class _CheckpointConfig(Wire):
    interval_ms: int = Field(alias="interval")


class _Trigger(Wire):
    request_id: str = Field(alias="request-id")


class FlinkRest:
    """Speaks to one JobManager. Context manager; usable from several threads.

    Args:
        timeout_s: until an answer comes; None takes that of `options`.
        sleep, clock: replaced in tests.
    """

    def __init__(
        self,
        base_url: str,
        *,
        timeout_s: float | None = 10.0,
        transport: httpx.BaseTransport | None = None,
        options: HttpOptions = NORMAL_HTTP,
        sleep: Callable[[float], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._http = JsonHttp(
            base_url,
            service="Flink JobManager",
            unreachable_code="cluster_unreachable",
            options=options.with_timeout(timeout_s),
            transport=transport,
        )
        self.base_url = self._http.base_url
        self._sleep, self._clock = sleep, clock

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    # --- reading ------------------------------------------------------------------------------------------------------

    def overview(self) -> ClusterOverview:
        """GET /overview. Version, TaskManagers and slots; the probe for "is it up"."""
        return self._http.call("GET", "/overview").parse(ClusterOverview)

    def config(self) -> dict[str, object]:
        """GET /config. Version and feature flags of the UI."""
        body = self._http.call("GET", "/config").body
        return {str(key): value for key, value in body.items()} if isinstance(body, dict) else {}

    def jobmanager_config(self) -> dict[str, str]:
        """GET /jobmanager/config. The settings that the cluster was started with."""
        return {
            str(row.get("key")): str(row.get("value")) for row in _rows(self._http.call("GET", "/jobmanager/config"))
        }

    def taskmanagers(self) -> tuple[TaskManagerInfo, ...]:
        """GET /taskmanagers. The registered TaskManagers and their slots."""
        return self._http.call("GET", "/taskmanagers").parse(_TaskManagers).taskmanagers

    def jobs_overview(self) -> tuple[JobOverview, ...]:
        """GET /jobs/overview. All jobs, running and remembered."""
        return self._http.call("GET", "/jobs/overview").parse(_Jobs).jobs

    def job(self, job_id: str) -> JobDetail:
        """GET /jobs/{id}. State and vertices.

        Raises:
            JobNotFoundError: the cluster does not know the id.
        """
        return self._job_call("GET", job_id).parse(JobDetail)

    def job_exceptions(self, job_id: str, max_exceptions: int = 5) -> JobExceptions:
        """GET /jobs/{id}/exceptions?maxExceptions=n. Failures, newest first."""
        return self._job_call("GET", job_id, "/exceptions", params={"maxExceptions": max_exceptions}).parse(
            JobExceptions
        )

    def checkpoints(self, job_id: str) -> Checkpoints:
        """GET /jobs/{id}/checkpoints. Counters and the newest checkpoint of each kind."""
        return self._job_call("GET", job_id, "/checkpoints").parse(Checkpoints)

    def checkpoint_interval_s(self, job_id: str) -> float:
        """GET /jobs/{id}/checkpoints/config. Return the interval of the checkpoints.

        Raises:
            JobNotFoundError: the cluster does not know the id, or the job makes no checkpoints: Flink says 404 to both.
        """
        answer = self._job_call("GET", job_id, "/checkpoints/config")
        return answer.parse(_CheckpointConfig).interval_ms / 1000

    def job_metrics(self, job_id: str, names: Iterable[str]) -> dict[str, str]:
        """GET /jobs/{id}/metrics?get=a,b. Values as text; a metric that Flink does not have is missing."""
        answer = self._job_call("GET", job_id, "/metrics", params={"get": ",".join(names)})
        return {str(row.get("id")): str(row.get("value")) for row in _rows(answer)}

    def vertex_metrics(self, job_id: str, vertex_id: str, names: Iterable[str]) -> dict[str, float]:
        """GET /jobs/{id}/vertices/{vertex}/subtasks/metrics?get=a,b&agg=sum. Sums over the subtasks.

        Only while the job runs: the metrics of a finished task are gone after some seconds.
        """
        params = {"get": ",".join(names), "agg": "sum"}
        answer = self._job_call("GET", job_id, f"/vertices/{vertex_id}/subtasks/metrics", params=params)
        return {str(row.get("id")): float(str(row.get("sum"))) for row in _rows(answer)}

    def vertex_metric_names(self, job_id: str, vertex_id: str) -> list[str]:
        """GET /jobs/{id}/vertices/{vertex}/subtasks/metrics. What `vertex_metrics` can be asked for."""
        answer = self._job_call("GET", job_id, f"/vertices/{vertex_id}/subtasks/metrics")
        return [str(row.get("id")) for row in _rows(answer)]

    def jobmanager_metrics(self, names: Iterable[str]) -> dict[str, str]:
        """GET /jobmanager/metrics?get=a,b. Values as text, as `job_metrics`."""
        return self._metrics("/jobmanager/metrics", names)

    def taskmanager_metrics(self, taskmanager_id: str, names: Iterable[str]) -> dict[str, str]:
        """GET /taskmanagers/{id}/metrics?get=a,b. Values as text; empty for one that is gone."""
        return self._metrics(f"/taskmanagers/{quote(taskmanager_id, safe='')}/metrics", names)

    def subtask_metrics(self, job_id: str, vertex_id: str, names: Iterable[str]) -> dict[str, str]:
        """GET /jobs/{id}/vertices/{vertex}/metrics?get=0.a,1.a. Values as text of each subtask, by its number in front.

        Empty for a job or vertex that is gone.
        """
        return self._metrics(f"/jobs/{job_id}/vertices/{vertex_id}/metrics", names)

    def _metrics(self, path: str, names: Iterable[str]) -> dict[str, str]:
        answer = self._http.call("GET", path, params={"get": ",".join(names)}, accept=(404,))
        return {str(row.get("id")): str(row.get("value")) for row in _rows(answer)}

    def job_url(self, job_id: str) -> str:
        """Return the address of the job in Flink's UI; it works for running and for completed jobs."""
        return f"{self.base_url}/#/job/running/{job_id}/overview"

    # --- stopping -----------------------------------------------------------------------------------------------------

    def cancel(self, job_id: str) -> bool:
        """PATCH /jobs/{id}?mode=cancel. Ask for cancellation, without waiting.

        Returns:
            False when the job had already finished or failed (409). A canceled one answers like a live one (202).

        Raises:
            JobNotFoundError: the cluster does not know the id.
        """
        params = {"mode": "cancel"}
        return self._job_call("PATCH", job_id, params=params, is_idempotent=True, accept=(409,)).status != 409

    def stop_with_savepoint(
        self,
        job_id: str,
        *,
        target_directory: str | None = None,
        drain: bool = False,
        timeout_s: float = 300.0,
        trigger_id: str | None = None,
    ) -> str:
        """POST /jobs/{id}/stop, then poll. Stop after a savepoint and return its location.

        The 202 proves nothing: Flink sends it for finished and unknown jobs too. Only the poll tells.

        Args:
            target_directory: None means the cluster's `execution.checkpointing.savepoint-dir`.
            drain: send the final watermark, so that open windows fire; the job cannot be resumed as it was.
            trigger_id: 32 hexadecimal digits chosen by the caller. Flink answers a second request with the same id as
                it did the first, so the request may be repeated, and asked for again after a crash.

        Raises:
            FlinkError: no savepoint was made; says why and which state the job is in.
            JobTimeoutError: it was not ready in time; it may still come.
        """
        body: dict[str, object] = {"drain": drain}
        if trigger_id is not None:
            body["triggerId"] = trigger_id
        return self._savepoint("stop", job_id, body, target_directory, timeout_s)

    def savepoint_status(self, job_id: str, request_id: str) -> SavepointTrigger:
        """GET /jobs/{id}/savepoints/{request}. One look at a savepoint that was asked for.

        Raises:
            JobNotFoundError: Flink does not know the job or the request; it forgets requests after some minutes.
        """
        return self._job_call("GET", job_id, f"/savepoints/{request_id}").parse(SavepointTrigger)

    def trigger_savepoint(self, job_id: str, *, target_directory: str | None = None, timeout_s: float = 300.0) -> str:
        """POST /jobs/{id}/savepoints, then poll. Return the savepoint's location; the job goes on.

        Raises:
            FlinkError, JobTimeoutError: as `stop_with_savepoint`.
        """
        return self._savepoint(
            "savepoints", job_id, {"cancel-job": False}, target_directory, timeout_s, "target-directory"
        )

    def trigger_checkpoint(self, job_id: str, *, timeout_s: float = 60.0) -> int:
        """POST /jobs/{id}/checkpoints, then poll. Make a checkpoint now, out of turn, and return its number.

        Raises:
            FlinkError: it failed.
            JobTimeoutError: it was not done in time.
        """
        body = {"checkpointType": "CONFIGURED"}
        request = self._job_call("POST", job_id, "/checkpoints", json_body=body).parse(_Trigger).request_id

        def ask() -> tuple[str, int | None, FailureCause | None]:
            trigger = self._job_call("GET", job_id, f"/checkpoints/{request}").parse(CheckpointTrigger)
            outcome = trigger.operation or CheckpointOutcome()
            return trigger.status.id, outcome.checkpoint_id, outcome.failure

        return self._await_outcome("checkpoint", job_id, ask, timeout_s, failed={"code": "job_failed"}, late={})

    def _savepoint(
        self,
        path: str,
        job_id: str,
        body: dict[str, object],
        directory: str | None,
        timeout_s: float,
        directory_key: str = "targetDirectory",
    ) -> str:
        if directory is not None:
            body = {**body, directory_key: directory}
        is_repeatable = "triggerId" in body
        answer = self._job_call("POST", job_id, f"/{path}", json_body=body, is_idempotent=is_repeatable)
        request = answer.parse(_Trigger).request_id

        def ask() -> tuple[str, str | None, FailureCause | None]:
            trigger = self.savepoint_status(job_id, request)
            outcome = trigger.operation or SavepointOutcome()
            return trigger.status.id, outcome.location or None, outcome.failure

        failed, late = {"code": "savepoint_failed"}, {"code": "savepoint_timeout"}
        return self._await_outcome("savepoint", job_id, ask, timeout_s, failed=failed, late=late)

    def _await_outcome(
        self,
        kind: str,
        job_id: str,
        ask: Callable[[], tuple[str, T | None, FailureCause | None]],
        timeout_s: float,
        *,
        failed: Mapping[str, str],
        late: Mapping[str, str],
    ) -> T:
        """Poll an asynchronous operation and return its result.

        Args:
            ask: returns status, result and the reason why there is none.
            failed, late: context of the error when it failed, and when it was not done in time.
        """

        def look() -> tuple[tuple[T | None, FailureCause | None] | None, object]:
            status, result, failure = ask()
            return ((result, failure) if status == "COMPLETED" else None), status

        what = f"a {kind} of Flink job {job_id}"
        try:
            result, failure = wait_for(
                look, what=what, timeout_s=timeout_s, backoff=_OUTCOME_POLL, sleep=self._sleep, clock=self._clock
            )
        except WaitTimeoutError as error:
            context = {"job_id": job_id, **late}
            raise JobTimeoutError(str(error), hint=self.job_url(job_id), context=context) from error
        if result is not None:
            return result
        reason = root_cause(failure.stacktrace or failure.exception_class) if failure else "Flink gave no reason"
        raise FlinkError(
            f"no {kind} of Flink job {job_id}: {reason}",
            hint=f"the job is {self._state_text(job_id)}",
            context={"job_id": job_id, **failed},
        )

    def _state_text(self, job_id: str) -> str:
        try:
            state = self.job(job_id).state
        except JobNotFoundError:
            return "unknown to the cluster"
        return f"{state}, it cannot be stopped again" if state in TERMINAL else f"still {state}"

    def _job_call(
        self,
        method: str,
        job_id: str,
        path: str = "",
        *,
        params: Mapping[str, str | int] | None = None,
        json_body: Mapping[str, object] | None = None,
        is_idempotent: bool | None = None,
        accept: tuple[int, ...] = (),
    ) -> Answer:
        answer = self._http.call(
            method,
            f"/jobs/{job_id}{path}",
            params=params,
            json_body=json_body,
            is_idempotent=is_idempotent,
            accept=(404, *accept),
            context={"job_id": job_id},
        )
        if answer.status == 404:
            raise JobNotFoundError(
                f"the Flink cluster at {self.base_url} does not know job {job_id}",
                hint="list its jobs with './millrace jobs list'",
                context={"job_id": job_id},
            )
        return answer


def _rows(answer: Answer) -> list[dict[str, object]]:
    return [row for row in answer.body if isinstance(row, dict)] if isinstance(answer.body, list) else []
