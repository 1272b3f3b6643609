"""The error tree: every failure a user can see.

    MillraceError
    ├── ConfigError            a setting, profile, contract or template is wrong; nothing was started
    │   ├── ContractError      dataset.yml
    │   ├── SecretReferenceError   a reference to a secret has no value anywhere
    │   └── TemplateError      a flink_sql/ template
    ├── InputError             the data or the arguments given are not what was promised
    │   └── SqlRefusedError    SQL that was refused before anything was sent; carries each problem
    ├── NotFoundError          nothing has this name or id
    ├── ConflictError          something else holds the name, the table or the job
    ├── UnreachableError       a service does not answer (retryable)
    │   └── CatalogUnreachableError   the catalog, asked by an engine that attaches it
    ├── StackError             the embedded stack
    │   └── PortInUseError
    ├── BusyError              another run holds the same table (retryable)
    ├── BrokerRefusedError     the broker refused the login or the certificate
    ├── ProduceError           events were not acknowledged by the broker
    ├── OffsetGapError         the broker no longer holds records that were never loaded
    ├── FlinkError             the gateway or the cluster refused or lost something
    │   ├── StatementError     the planner or parser refused a statement
    │   ├── SessionLostError
    │   ├── JobFailedError
    │   │   └── TaskManagerLostError   a server went away under the job (retryable)
    │   └── JobTimeoutError
    ├── CatalogError           Iceberg catalog or table
    ├── StorageError           the object store refused the keys, the region or the access
    └── CheckFailedError       an accounting equation does not hold

Each carries one line for people (``message``), a remedy (``hint``) and machine-readable ``context``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from orchestration.redaction import redact


class MillraceError(Exception):
    """Base of all errors that are shown to a user.

    Args:
        message: what failed and on what, in one line. Secrets are removed before it is stored.
        hint: what to do next, or None.
        context: names and ids for machines (job id, topic, file).
    """

    is_retryable: ClassVar[bool] = False
    exit_code: ClassVar[int] = 1
    default_code: ClassVar[str] = "internal"

    def __init__(self, message: str, *, hint: str | None = None, context: Mapping[str, object] | None = None) -> None:
        self.message = redact(message)
        self.hint = redact(hint) if hint else None
        self.context = {key: redact(str(value)) for key, value in (context or {}).items()}
        super().__init__(self.message)

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message

    @property
    def code(self) -> str:
        """The SQL engine's name of this kind of failure, such as `sql_parse_error`; for machines, and stable."""
        return self.context.get("code", self.default_code)


class ConfigError(MillraceError):
    """A setting, a profile or a file of the project is wrong; nothing was started."""

    exit_code = 2
    default_code = "config_invalid"


class ContractError(ConfigError):
    """A dataset.yml does not hold together."""


class SecretReferenceError(ConfigError):
    """References to secrets that have no value in any place; names each, never a value."""

    default_code = "PLT-SECRET-REF"


class TemplateError(ConfigError):
    """A SQL template names an unknown variable or leaves one unused."""


class InputError(MillraceError):
    """The data or the arguments given are not what was promised; nothing was sent."""

    exit_code = 2
    default_code = "validation_failed"


class SqlRefusedError(InputError):
    """SQL that was refused before anything was sent to Flink."""


class NotFoundError(MillraceError):
    """Nothing has this name or id."""

    exit_code = 3
    default_code = "not_found"


class ConflictError(MillraceError):
    """Something else holds the name, the table or the job."""

    exit_code = 7
    default_code = "conflict"


class UnreachableError(MillraceError):
    """A service does not answer."""

    is_retryable = True
    exit_code = 5


class CatalogUnreachableError(UnreachableError):
    """The catalog does not answer an engine that attaches it."""

    exit_code = 4


class StackError(MillraceError):
    """The embedded stack could not be started, stopped or asked."""


class PortInUseError(StackError):
    """A port that a server needs belongs to another process."""


class BusyError(MillraceError):
    """Another run holds the same table or file."""

    is_retryable = True
    exit_code = 7


class BrokerRefusedError(MillraceError):
    """The broker refused the login or the certificate."""

    exit_code = 4
    default_code = "broker_refused"


class ProduceError(MillraceError):
    """Events were handed to the broker and not acknowledged."""

    is_retryable = True


class OffsetGapError(MillraceError):
    """The broker no longer holds records that were never loaded."""


class FlinkError(MillraceError):
    """The SQL Gateway or the cluster refused or lost something."""

    exit_code = 4
    default_code = "statement_failed"


class StatementError(FlinkError):
    """The parser, planner or connector refused a statement."""


class SessionLostError(FlinkError):
    """The gateway no longer knows the session."""

    is_retryable = True
    default_code = "session_lost"


class JobFailedError(FlinkError):
    """A Flink job ended in another state than FINISHED; the message carries its root cause."""

    default_code = "job_failed"

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        context: Mapping[str, object] | None = None,
        root_cause: str = "",
        state: str = "FAILED",
    ) -> None:
        super().__init__(message, hint=hint, context=context)
        self.root_cause = redact(root_cause)
        self.state = state


class TaskManagerLostError(JobFailedError):
    """A TaskManager went away under a batch job, which committed nothing; the supervisor brings it back."""

    is_retryable = True


class JobTimeoutError(FlinkError):
    """A Flink job did not reach the wanted state in time."""

    is_retryable = True
    exit_code = 6


class CatalogError(MillraceError):
    """The Iceberg catalog or a table in it refused or lost something."""


class StorageError(MillraceError):
    """The object store refused the keys, the region or the access."""

    exit_code = 4
    default_code = "storage_refused"


class CheckFailedError(MillraceError):
    """An accounting equation or a data check does not hold."""
