"""What the SQL Gateway and the cluster's REST answer, as frozen models.

Enumerations stay plain strings: a newer Flink may send a value that this version does not know, and reading a job list
must not fail over it. Whoever decides on a state asks the named sets below; `check_job_state` turns an unknown
one into an error that names it, so no loop waits for a state that will never come.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from orchestration.errors import FlinkError

TERMINAL = frozenset({"FINISHED", "FAILED", "CANCELED"})
"""The job is over for good; Flink keeps its record until the job store expires it."""

FAILED = frozenset({"FAILED", "CANCELED"})
"""Over without its result: a batch INSERT in one of these states committed nothing."""

ENDING = frozenset({"FAILING", "CANCELLING"})
"""Still holds slots but can no longer succeed: wait it out, never adopt it."""

LIVE = frozenset({"INITIALIZING", "CREATED", "RUNNING", "RESTARTING", "RECONCILING", "SUSPENDED"}) | ENDING
"""Not over. SUSPENDED counts: a JobManager that lost leadership recovers the job from its high-availability store."""

OPERATION_FAILED = frozenset({"ERROR", "TIMEOUT", "CANCELED", "CLOSED"})
"""A gateway operation in one of these states gives no more pages. FINISHED says nothing about the job behind it."""


def check_job_state(state: str, job_id: str) -> str:
    """Return `state` if it is one that we can decide on.

    Raises:
        FlinkError: Flink sent a state that is in none of the sets above.
    """
    if state not in TERMINAL and state not in LIVE:
        raise FlinkError(
            f"Flink job {job_id} is in state {state!r}, which this version of millrace does not know",
            hint="look at the job in Flink's UI; Millrace is tested with Flink 2.1",
            context={"job_id": job_id, "state": state},
        )
    return state


def _from_millis(value: object) -> object:
    """Flink writes times as epoch milliseconds, and -1 for "not yet"."""
    if isinstance(value, int):
        return datetime.fromtimestamp(value / 1000, UTC) if value >= 0 else None
    return value


def _without_nan(value: object) -> object:
    """Sources that cannot tell how busy they are say NaN."""
    return 0.0 if value == "NaN" else value


FlinkTime = Annotated[datetime | None, BeforeValidator(_from_millis)]


class Wire(BaseModel):
    """Base of everything read from Flink: frozen, and fields we do not know are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)


# --- SQL Gateway ------------------------------------------------------------------------------------------------------


class GatewayInfo(Wire):
    """GET /v1/info."""

    product_name: str = Field(alias="productName")
    version: str


class LogicalType(Wire):
    """A Flink type as the gateway serialises it; which fields are set depends on `type`."""

    type: str
    nullable: bool = True
    length: int | None = None
    precision: int | None = None
    scale: int | None = None
    element_type: LogicalType | None = Field(default=None, alias="elementType")
    key_type: LogicalType | None = Field(default=None, alias="keyType")
    value_type: LogicalType | None = Field(default=None, alias="valueType")
    fields: tuple[RowField, ...] = ()


class RowField(Wire):
    """One field of a ROW type."""

    name: str
    type: LogicalType = Field(alias="fieldType")


class ColumnInfo(Wire):
    """One column of a result."""

    name: str
    type: LogicalType = Field(alias="logicalType")


class RowData(Wire):
    """One row of a page: changelog kind (INSERT, UPDATE_BEFORE, UPDATE_AFTER, DELETE) and the JSON values."""

    kind: str
    fields: list[object]


class ResultData(Wire):
    """The rows of one page."""

    columns: tuple[ColumnInfo, ...] = ()
    data: tuple[RowData, ...] = ()


class ResultPage(Wire):
    """GET …/result/{token}: NOT_READY (ask the same token again), PAYLOAD (may be empty) or EOS (the end)."""

    result_type: str = Field(alias="resultType")
    is_query: bool | None = Field(default=None, alias="isQueryResult")
    job_id: str | None = Field(default=None, alias="jobID")
    result_kind: str | None = Field(default=None, alias="resultKind")
    results: ResultData = ResultData()
    next_uri: str | None = Field(default=None, alias="nextResultUri")


# --- Cluster ----------------------------------------------------------------------------------------------------------


class ClusterOverview(Wire):
    """GET /overview."""

    version: str = Field(default="", alias="flink-version")
    taskmanagers: int = 0
    slots_total: int = Field(default=0, alias="slots-total")
    slots_available: int = Field(default=0, alias="slots-available")
    jobs_running: int = Field(default=0, alias="jobs-running")


class TaskManagerInfo(Wire):
    """One entry of GET /taskmanagers."""

    id: str
    slots_total: int = Field(default=0, alias="slotsNumber")
    slots_available: int = Field(default=0, alias="freeSlots")


class JobOverview(Wire):
    """One entry of GET /jobs/overview."""

    id: str = Field(alias="jid")
    name: str
    state: str
    start_time: FlinkTime = Field(default=None, alias="start-time")
    end_time: FlinkTime = Field(default=None, alias="end-time")
    duration_ms: int = Field(default=0, alias="duration")


class VertexMetrics(Wire):
    """Counters of one vertex, kept after the job's end.

    `read_records` of a Kafka or Iceberg source is the number of records that it emitted, after the filters that were
    pushed into it. The last vertex of a chain that ends in a sink writes 0; the committers count their messages.
    """

    read_records: int = Field(default=0, alias="read-records")
    write_records: int = Field(default=0, alias="write-records")
    read_bytes: int = Field(default=0, alias="read-bytes")
    write_bytes: int = Field(default=0, alias="write-bytes")
    backpressured_ms: float = Field(default=0, alias="accumulated-backpressured-time")
    idle_ms: float = Field(default=0, alias="accumulated-idle-time")
    busy_ms: Annotated[float, BeforeValidator(_without_nan)] = Field(default=0, alias="accumulated-busy-time")


class Vertex(Wire):
    """One vertex (a chain of operators) of a job."""

    id: str
    name: str
    status: str
    parallelism: int = 1
    duration_ms: int = Field(default=0, alias="duration")
    metrics: VertexMetrics = VertexMetrics()


class JobDetail(Wire):
    """GET /jobs/{id}."""

    id: str = Field(alias="jid")
    name: str
    state: str
    start_time: FlinkTime = Field(default=None, alias="start-time")
    end_time: FlinkTime = Field(default=None, alias="end-time")
    duration_ms: int = Field(default=0, alias="duration")
    vertices: tuple[Vertex, ...] = ()
    timestamps: dict[str, int] = Field(default_factory=dict[str, int])

    @property
    def running_since(self) -> datetime | None:
        """When the job last became RUNNING; None: it never did."""
        millis = self.timestamps.get("RUNNING", 0)
        return datetime.fromtimestamp(millis / 1000, UTC) if millis else None

    @property
    def is_terminal(self) -> bool:
        """Whether the job is over; an unknown state raises FlinkError."""
        return check_job_state(self.state, self.id) in TERMINAL


class ExceptionEntry(Wire):
    """One failure of a job, newest first in the history."""

    name: str = Field(default="", alias="exceptionName")
    stacktrace: str = ""
    timestamp: FlinkTime = None
    task_name: str | None = Field(default=None, alias="taskName")


class ExceptionHistory(Wire):
    """`exceptionHistory` of GET /jobs/{id}/exceptions."""

    entries: tuple[ExceptionEntry, ...] = ()
    truncated: bool = False


class JobExceptions(Wire):
    """GET /jobs/{id}/exceptions."""

    root: str | None = Field(default=None, alias="root-exception")
    history: ExceptionHistory = Field(default=ExceptionHistory(), alias="exceptionHistory")


class Checkpoint(Wire):
    """One completed, failed or restored checkpoint or savepoint."""

    id: int
    status: str = ""
    is_savepoint: bool = False
    trigger_time: FlinkTime = Field(default=None, alias="trigger_timestamp")
    duration_ms: int = Field(default=0, alias="end_to_end_duration")
    size_bytes: int = Field(default=0, alias="state_size")
    path: str | None = Field(default=None, alias="external_path")
    failure: str | None = Field(default=None, alias="failure_message")
    is_discarded: bool = Field(default=False, alias="discarded")


class CheckpointCounts(Wire):
    """Counters over the life of the job."""

    completed: int = 0
    failed: int = 0
    in_progress: int = 0
    restored: int = 0


class LatestCheckpoints(Wire):
    """The newest checkpoint of each kind; None when there was none."""

    completed: Checkpoint | None = None
    failed: Checkpoint | None = None
    savepoint: Checkpoint | None = None
    restored: Checkpoint | None = None


class Checkpoints(Wire):
    """GET /jobs/{id}/checkpoints."""

    counts: CheckpointCounts = CheckpointCounts()
    latest: LatestCheckpoints = LatestCheckpoints()


class TriggerStatus(Wire):
    """State of an asynchronous REST operation: IN_PROGRESS or COMPLETED."""

    id: str


class FailureCause(Wire):
    """Why an asynchronous operation failed."""

    exception_class: str = Field(default="", alias="class")
    stacktrace: str = Field(default="", alias="stack-trace")


class SavepointOutcome(Wire):
    """Where the savepoint lies, or why there is none."""

    location: str | None = None
    failure: FailureCause | None = Field(default=None, alias="failure-cause")


class CheckpointOutcome(Wire):
    """Number of the checkpoint, or why there is none."""

    checkpoint_id: int | None = Field(default=None, alias="checkpointId")
    failure: FailureCause | None = Field(default=None, alias="failureCause")


class CheckpointTrigger(Wire):
    """GET /jobs/{id}/checkpoints/{request-id}."""

    status: TriggerStatus
    operation: CheckpointOutcome | None = None


class SavepointTrigger(Wire):
    """GET /jobs/{id}/savepoints/{request-id}."""

    status: TriggerStatus
    operation: SavepointOutcome | None = None
