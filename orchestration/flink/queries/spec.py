"""What a persistent query is: its SQL, its sink and how it is to run. Strict, frozen, without secrets."""

from __future__ import annotations

import hashlib
import json
from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator, model_validator

from orchestration.flink.tables.sink_request import SinkRequest
from orchestration.flink.tables.stored_options import OptionValue, StoredModel, options_in, refuse_secrets
from orchestration.flink.text.durations import Duration

DEFAULT_CHECKPOINT_INTERVAL = timedelta(seconds=60)

STREAM = "stream"
"""Value of the label `kind` of a dataset's stream."""

_SET_BY_FIELDS = {
    "pipeline.name": "the name is derived from the query's",
    "execution.runtime-mode": "use the field mode",
    "parallelism.default": "use the field parallelism",
    "table.exec.resource.default-parallelism": "use the field parallelism",
    "execution.checkpointing.interval": "use the field checkpoint_interval",
    "table.exec.state.ttl": "use the field state_ttl",
    "execution.checkpointing.savepoint-dir": "use the field savepoint_dir",
    "execution.state-recovery.path": "restart the query from its savepoint instead",
    "execution.savepoint.path": "restart the query from its savepoint instead",
    "$internal.pipeline.job-id": "the id is derived from the query's",
}


class RestartPolicy(StoredModel):
    """What `reconcile` does with a job that FAILED; Flink's own restarts come before that and are not counted.

    Attributes:
        kind: `never`, or `on_failure`: start again from the last checkpoint, after 10 s, 20 s, 40 s, … 10 min. `owner`:
            never, and not what was lost or cut off either; only its owner knows what it may start from.
        max_per_hour: more restarts than that within an hour, and the query stays FAILED.
    """

    kind: Literal["never", "on_failure", "owner"] = "never"
    max_per_hour: int = Field(default=5, ge=1, le=360)


def _policy(value: object) -> object:
    return {"kind": value} if isinstance(value, str) else value


class QuerySpec(StoredModel):
    """The definition of a persistent query.

    Attributes:
        name: unique in its namespace.
        query: a query, an INSERT, or a statement set.
        mode: `batch` is for bounded queries.
        inputs: CREATE statements that the query needs, or names of declared sources (flink_sql/tables).
        execution: Flink settings of the job. Those that have a field of their own are refused.
        parallelism: None: the cluster's default.
        checkpoint_interval: 60 s when streaming; None in batch mode.
        state_ttl: how long unused state of joins and aggregates is kept; None: for ever.
        upgrade_mode: what the job of a new definition starts from: nothing, a savepoint of the old job, or the
            last checkpoint or savepoint there is.
        savepoint_dir: None: the engine's setting, then the cluster's.
        labels: for people and lists; `owner` is shown as the owner.
    """

    name: str = Field(min_length=1, max_length=100)
    query: str = Field(min_length=1)
    description: str = Field(default="", max_length=2_000)
    mode: Literal["streaming", "batch"] = "streaming"
    sink: SinkRequest = SinkRequest()
    inputs: tuple[str, ...] = ()
    execution: dict[str, OptionValue] = Field(default_factory=dict[str, str])
    parallelism: int | None = Field(default=None, ge=1, le=1024)
    checkpoint_interval: Duration | None = Field(
        default_factory=lambda data: DEFAULT_CHECKPOINT_INTERVAL if data.get("mode") == "streaming" else None
    )
    state_ttl: Duration | None = None
    restart_policy: Annotated[RestartPolicy, BeforeValidator(_policy)] = RestartPolicy()
    upgrade_mode: Literal["stateless", "savepoint", "last_state"] = "savepoint"
    savepoint_dir: str | None = Field(default=None, min_length=1)
    labels: dict[str, OptionValue] = Field(default_factory=dict[str, str])

    @field_validator("name")
    @classmethod
    def _name_is_printable(cls, name: str) -> str:
        if not name.isprintable():
            raise ValueError("the name holds a control character")
        return name

    @field_validator("query")
    @classmethod
    def _query_is_bare(cls, query: str, info: ValidationInfo) -> str:
        bare = query.rstrip("; \t\r\n")
        if not bare:
            raise ValueError("the query is empty")
        refuse_secrets(options_in(bare), info)
        return bare

    @field_validator("inputs")
    @classmethod
    def _inputs_hold_no_secret(cls, inputs: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        for statement in inputs:
            refuse_secrets(options_in(statement), info)
        return inputs

    @field_validator("execution")
    @classmethod
    def _execution_is_free(cls, execution: dict[str, str], info: ValidationInfo) -> dict[str, str]:
        for key in execution:
            if key in _SET_BY_FIELDS:
                raise ValueError(f"{key!r} cannot be set here: {_SET_BY_FIELDS[key]}")
        refuse_secrets(execution, info)
        return execution

    @field_validator("labels")
    @classmethod
    def _labels_hold_no_secret(cls, labels: dict[str, str], info: ValidationInfo) -> dict[str, str]:
        refuse_secrets(labels, info)
        return labels

    @model_validator(mode="after")
    def _batch_has_no_checkpoints(self) -> QuerySpec:
        if self.mode == "batch" and self.checkpoint_interval is not None:
            raise ValueError("checkpoint_interval: a batch job makes no checkpoints; leave it out")
        if self.checkpoint_interval is not None and not self.checkpoint_interval:
            raise ValueError("checkpoint_interval: it must be more than 0")
        return self

    @property
    def spec_hash(self) -> str:
        """16 hexadecimal digits over all that makes the job what it is; how it is described or watched is left out."""
        job = self.to_json(exclude={"description", "labels", "restart_policy", "upgrade_mode", "savepoint_dir"})
        return hashlib.sha256(json.dumps(job, sort_keys=True).encode()).hexdigest()[:16]

    def to_json(self, exclude: set[str] | None = None) -> dict[str, Any]:
        """Return the definition as JSON values; `QuerySpec.model_validate` reads it back."""
        return self.model_dump(mode="json", exclude=exclude)


def is_stream(spec: QuerySpec) -> bool:
    """Whether this is the stream of a dataset, which has conditions of its own (orchestration.lakehouse.streams)."""
    return spec.labels.get("kind") == STREAM
