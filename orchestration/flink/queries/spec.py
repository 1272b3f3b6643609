"""What a persistent query is: its SQL, its sink and how it is to run. Strict, frozen, without secrets."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from orchestration.errors import StatementError
from orchestration.flink.queries.durations import Duration
from orchestration.flink.references import is_reference, needs_reference
from orchestration.flink.tokens import string_value, tokenize
from orchestration.redaction import redact

DEFAULT_CHECKPOINT_INTERVAL = timedelta(seconds=60)

FROM_STORE = {"from": "registry"}
"""Validation context of a definition that was accepted before: what looks like a secret is not asked again, because
the answer depends on what the process has seen (`remember_secrets`), and a record must stay readable."""

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


def _as_text(value: object) -> object:
    match value:
        case bool():
            return str(value).lower()
        case int() | float():
            return str(value)
        case None:
            raise ValueError("a value is missing; leave the key out to use the default")
        case _:
            return value


OptionValue = Annotated[str, BeforeValidator(_as_text), Field(max_length=10_000)]
"""YAML's numbers and booleans become the text that Flink reads."""


def _secret_options(options: Mapping[str, str]) -> Iterator[str]:
    for key, value in options.items():
        if not is_reference(value) and (needs_reference(key) or redact(value) != value):
            yield key


def _options_in(sql: str) -> dict[str, str]:
    """Return the `'key' = 'value'` pairs of a statement, from WITH clauses, SET and OPTIONS hints.

    A comparison of two literals looks the same; it is no loss to take it for an option.
    """
    try:
        tokens = [token for token in tokenize(sql) if token.kind not in ("space", "comment")]
    except StatementError:
        return {}  # the validation of the SQL says where it is broken
    found: dict[str, str] = {}
    for token in tokens:
        if token.kind == "hint":
            found |= _options_in(token.text.removeprefix("/*+").removesuffix("*/"))
    for key, equals, value in zip(tokens, tokens[1:], tokens[2:], strict=False):
        if (key.kind, equals.text, value.kind) == ("string", "=", "string"):
            found[string_value(key) or ""] = string_value(value) or ""
    return found


def _refuse_secrets(options: Mapping[str, str], info: ValidationInfo) -> None:
    if info.context == FROM_STORE:
        return
    names = sorted(_secret_options(options))
    if names:
        raise ValueError(
            f"the value of option {names[0]!r} must not be stored; write env:NAME or file:/path in its place, which is"
            " read when it is sent"
        )


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, str_strip_whitespace=True)


class SinkRequest(_Model):
    """Where the rows of a query go.

    Attributes:
        profile: name of a connector profile; `auto` chooses by the query's changes.
        table: name or path of the table; None: derived from the query's name and id.
        options: connector options over those of the profile. Secrets as `env:NAME` or `file:/path`.
        partitioned_by: columns that the table is partitioned by.
        key_columns: primary key; empty: taken from the plan.
        ddl: the whole CREATE TABLE, when nothing is to be generated.
        keep_char: keep CHAR(n) and VARCHAR(n) where STRING is the default.
        auto_alias: call unnamed expressions c<n> where the default is to refuse them.
    """

    profile: str = Field(default="auto", min_length=1, max_length=100)
    table: str | None = Field(default=None, min_length=1, max_length=500)
    options: dict[str, OptionValue] = {}
    partitioned_by: tuple[str, ...] = ()
    key_columns: tuple[str, ...] = ()
    ddl: str | None = None
    keep_char: bool = False
    auto_alias: bool = False

    @field_validator("options")
    @classmethod
    def _options_hold_no_secret(cls, options: dict[str, str], info: ValidationInfo) -> dict[str, str]:
        _refuse_secrets(options, info)
        return options

    @field_validator("ddl")
    @classmethod
    def _ddl_holds_no_secret(cls, ddl: str | None, info: ValidationInfo) -> str | None:
        _refuse_secrets(_options_in(ddl or ""), info)
        return ddl


class RestartPolicy(_Model):
    """What `reconcile` does with a job that FAILED; Flink's own restarts come before that and are not counted.

    Attributes:
        kind: `never`, or `on_failure`: start again from the last checkpoint, after 10 s, 20 s, 40 s, … 10 min.
        max_per_hour: more restarts than that within an hour, and the query stays FAILED.
    """

    kind: Literal["never", "on_failure"] = "never"
    max_per_hour: int = Field(default=5, ge=1, le=360)


def _policy(value: object) -> object:
    return {"kind": value} if isinstance(value, str) else value


class QuerySpec(_Model):
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
    execution: dict[str, OptionValue] = {}
    parallelism: int | None = Field(default=None, ge=1, le=1024)
    checkpoint_interval: Duration | None = Field(
        default_factory=lambda data: DEFAULT_CHECKPOINT_INTERVAL if data.get("mode") == "streaming" else None
    )
    state_ttl: Duration | None = None
    restart_policy: Annotated[RestartPolicy, BeforeValidator(_policy)] = RestartPolicy()
    upgrade_mode: Literal["stateless", "savepoint", "last_state"] = "savepoint"
    savepoint_dir: str | None = Field(default=None, min_length=1)
    labels: dict[str, OptionValue] = {}

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
        _refuse_secrets(_options_in(bare), info)
        return bare

    @field_validator("inputs")
    @classmethod
    def _inputs_hold_no_secret(cls, inputs: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        for statement in inputs:
            _refuse_secrets(_options_in(statement), info)
        return inputs

    @field_validator("execution")
    @classmethod
    def _execution_is_free(cls, execution: dict[str, str], info: ValidationInfo) -> dict[str, str]:
        for key in execution:
            if key in _SET_BY_FIELDS:
                raise ValueError(f"{key!r} cannot be set here: {_SET_BY_FIELDS[key]}")
        _refuse_secrets(execution, info)
        return execution

    @field_validator("labels")
    @classmethod
    def _labels_hold_no_secret(cls, labels: dict[str, str], info: ValidationInfo) -> dict[str, str]:
        _refuse_secrets(labels, info)
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
