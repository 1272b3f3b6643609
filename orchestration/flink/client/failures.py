"""Turns what Flink says about a failure into one readable error.

The gateway answers HTTP 500 to everything, with a Java stack; the status says nothing, only the chain of causes does.
So the mapping reads the chain, and an HTTP 500 is never retryable by itself.

    MillraceError
    ├── UnreachableError
    │   ├── OutcomeUnknownError     a request was sent and no answer came: it may have taken effect
    │   └── OverloadedError         no session is free, or something in front of Flink asks to come again later
    └── FlinkError
        ├── UnauthorizedError       something in front of Flink refused our credentials
        ├── JobNotFoundError        the cluster does not know this job id
        └── DuplicateJobError       Flink refused a second job with this id
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass

import orjson

from orchestration.errors import (
    FlinkError,
    JobFailedError,
    MillraceError,
    SessionLostError,
    StatementError,
    UnreachableError,
)
from orchestration.flink.client.traces import causes, position_in, root_cause, shorten
from orchestration.redaction import redact

_log = logging.getLogger(__name__)

REMEDY = "start the stack with './millrace up', or look at it with './millrace status'"


class OutcomeUnknownError(UnreachableError):
    """A request that may not be repeated was sent, and no answer came: it may or may not have taken effect."""


class OverloadedError(UnreachableError):
    """No session is free in time, or a proxy in front of Flink asks to come again later. Nothing was run."""

    default_code = "gateway_overloaded"


class UnauthorizedError(FlinkError):
    """A proxy in front of Flink refused our credentials."""

    default_code = "unauthorized"


class JobNotFoundError(FlinkError):
    """The cluster does not know the job: never submitted, expired from the job store, or lost with the JobManager."""

    exit_code = 3
    default_code = "job_not_found"


class DuplicateJobError(FlinkError):
    """Flink refused a submission because it already has, or had, a job with this id."""

    exit_code = 7
    default_code = "conflict"


def error_text(body: str) -> str:
    """Return the most telling text of an error body: {"errors": ["Internal server error.", "<stack>"]}, or plain."""
    try:
        parsed: object = orjson.loads(body)
    except orjson.JSONDecodeError:
        return body.strip()
    errors = parsed.get("errors") if isinstance(parsed, dict) else None
    if isinstance(errors, list) and errors:
        texts = [str(error) for error in errors]
        return max(texts, key=lambda text: ("Exception" in text, len(text)))
    return body.strip()


@dataclass(frozen=True)
class Rule:
    """A text in the chain of causes, and the error that it means.

    Args:
        prefix: goes before the root cause.
        text: said instead of the root cause.
        quotes_match: the cause that holds the pattern is said, not the deepest one.
    """

    pattern: str
    code: str
    error: type[MillraceError]
    hint: str | None = None
    prefix: str = ""
    text: str = ""
    quotes_match: bool = False

    def matches(self, trace: str) -> bool:
        """Whether the pattern is found anywhere in the trace."""
        return re.search(self.pattern, trace, re.DOTALL) is not None

    def message(self, trace: str, reason: str) -> str:
        """Return the error's text; `reason` is the root cause."""
        if self.quotes_match:
            reason = next((shorten(redact(cause.text)) for cause in causes(trace) if self.matches(cause.text)), reason)
        return self.text or self.prefix + reason


_AGAIN = "run again; the gateway was restarted, or the session was idle too long"
_JARS = "the connector's jar must be on the class path of the cluster and of the gateway"
_SLOTS = "free slots (./millrace jobs list) or lower the parallelism"
_REFUSED = r"Connection refused|UnknownHostException|ConnectTimeoutException|NoRouteToHost"

# First match wins. The codes are the SQL engine's public error codes.
_RULES = (
    Rule(r"Session '[^']*' does not exist", "session_lost", SessionLostError, _AGAIN),
    Rule(r"Can not find the submitted operation", "operation_lost", FlinkError, _AGAIN),
    Rule(
        r"exceeds? the max count", "session_limit", FlinkError, "close sessions: sql-gateway.session.max-num is reached"
    ),
    Rule(r"Expecting token to be", "result_token_lost", FlinkError, "pages can be read only once: run the query again"),
    Rule(
        r"Could not map response to JSON",
        "statement_failed",
        StatementError,
        "CAST the column to STRING, or select parts of it",
        text="a column has a type that the gateway cannot send: VARIANT, RAW, MAP or MULTISET of keys that are no text",
    ),
    Rule(
        r"DuplicateJobSubmissionException|has already been submitted",
        "conflict",
        DuplicateJobError,
        "it runs, or it is over: see './millrace jobs list'",
        text="Flink has, or had, a job with this id",
    ),
    Rule(
        r"Non-query expression encountered in illegal context",
        "sql_parse_error",
        StatementError,
        "no statement starts like this: is its first word misspelt?",
    ),
    Rule(r"SqlParse(?:r)?Exception|sql\.parser\.impl\.ParseException", "sql_parse_error", StatementError),
    Rule(r"single statement supported", "sql_parse_error", StatementError, "send one statement at a time"),
    Rule(r"Could not find any factory for identifier", "connector_missing", StatementError, _JARS),
    Rule(
        r"do not contain an option key 'connector'|Unsupported options found|[Rr]equired options are missing",
        "connector_option_invalid",
        StatementError,
    ),
    Rule(r"doesn't support consuming (?:update|delete)", "sink_incompatible", StatementError),
    Rule(r"TableAlreadyExist|Temporary (?:table|view) '[^']*' already exists", "table_exists", StatementError),
    Rule(r"Could not parse value", "config_invalid", StatementError, quotes_match=True),
    Rule(
        rf"org\.apache\.iceberg\..*(?:{_REFUSED})",
        "catalog_unreachable",
        UnreachableError,
        REMEDY,
        "the Iceberg catalog does not answer Flink: ",
    ),
    Rule(
        r"Number of retries has been exhausted|RestClientException",
        "cluster_unreachable",
        UnreachableError,
        REMEDY,
        "the Flink cluster does not answer the gateway: ",
    ),
    Rule(r"NoResourceAvailable|Could not acquire the minimum required resources", "no_slots", FlinkError, _SLOTS),
    Rule(r"Could not find Flink job|Job could not be found", "job_not_found", JobNotFoundError),
    Rule(
        r"JobExecutionException|Failed to fetch (?:next result|job execution result)",
        "statement_failed",
        JobFailedError,
        None,
        "the query failed while it ran: ",
    ),
    Rule(_REFUSED, "service_unreachable", UnreachableError, REMEDY, "Flink could not reach a service: "),
    Rule(
        r"SqlValidatorException|ValidationException|CalciteContextException|Object '[^']*' not found|Cannot find table"
        r"|Column types of query result and sink",
        "sql_semantic_error",
        StatementError,
    ),
    Rule(r"org\.apache\.(?:flink\.table\.(?:api|planner|catalog)|calcite)\.", "statement_failed", StatementError),
)


def error_from_answer(service: str, call: str, status: int, body: str, context: dict[str, object]) -> MillraceError:
    """Return the error that an HTTP answer of 400 or above means.

    The whole chain of causes goes to the log, at level debug. The context holds the code, the call, the class of the
    deepest cause, and line and column of the statement when Flink names them.

    Args:
        service: name for people, such as "Flink SQL Gateway".
        call: what was asked, such as "POST /v1/sessions".
    """
    if status in (401, 403):
        return UnauthorizedError(
            f"{service} refused {call} with HTTP {status}: our credentials are missing or not accepted",
            hint="FLINK_AUTH_HEADER_FILE names the file with the Authorization header",
            context={**context, "call": call},
        )
    if status == 429:
        return OverloadedError(
            f"{service} refused {call} with HTTP 429: too many requests",
            hint="try again later",
            context={**context, "call": call},
        )
    trace = error_text(body)
    reason = root_cause(trace) if trace else f"HTTP {status} without a text"
    if _log.isEnabledFor(logging.DEBUG):
        _log.debug("%s answered %s with HTTP %d: %s", service, call, status, redact(trace))
    known: dict[str, object] = {**context, **_facts(trace), "call": call}
    for rule in _RULES:
        if rule.matches(trace):
            known["code"] = rule.code
            message = rule.message(trace, reason)
            if rule.error is JobFailedError:
                return JobFailedError(message, hint=rule.hint, context=known, root_cause=reason)
            return rule.error(message, hint=rule.hint, context=known)
    return FlinkError(f"{service} refused {call} with HTTP {status}: {reason}", context=known)


def _facts(trace: str) -> dict[str, object]:
    facts: dict[str, object] = {}
    chain = causes(trace)
    if chain:
        facts["root_class"] = chain[-1].exception
    position = position_in(trace)
    if position:
        facts["line"], facts["column"] = position
    return facts
