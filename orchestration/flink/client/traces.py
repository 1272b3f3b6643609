"""Java stack traces as chains of causes, and the one line of them that tells a person what went wrong."""

from __future__ import annotations

import re
from dataclasses import dataclass

from orchestration.redaction import redact

_TEXT_LIMIT = 600

# One line of a chain: "Caused by: a.b.C: message"; the first line of a trace has no "Caused by".
_CAUSE = re.compile(r"^(?:Caused by: )?(?P<cls>[a-zA-Z_$][\w$]*(?:\.[\w$]+)+)(?:: (?P<text>.*))?$")
_PLANNER = re.compile(r"^org\.apache\.(?:flink\.(?:table|sql)|calcite)\.")
_POSITION = re.compile(r"line (\d+), column (\d+)")
# Classes whose own message says only that something below them failed.
_WRAPPERS = frozenset(
    {
        "ActorInitializationException",
        "CompletionException",
        "ExecutionException",
        "InvocationTargetException",
        "JobExecutionException",
        "JobException",
        "ProgramInvocationException",
        "RestHandlerException",
        "SerializedThrowable",
        "SqlExecutionException",
        "SqlGatewayException",
        "SqlGatewayRestException",
        "UndeclaredThrowableException",
    }
)
# Classes whose name adds nothing to their message.
_SAYS_NOTHING = frozenset(
    {"Exception", "FlinkException", "FlinkRuntimeException", "IllegalArgumentException", "IllegalStateException"}
    | {"RuntimeException", "TableException"}
)
_WRAPPER_TEXTS = (
    "Failed to fetchResults",
    "Failed to execute the operation",
    "Failed to fetch next result",
    "Failed to fetch job execution result",
    "Recovery is suppressed",
    "Could not execute statement",
    "Failed to execute sql",
)


@dataclass(frozen=True)
class Cause:
    """One link of a Java chain of causes."""

    exception: str
    text: str

    @property
    def short_name(self) -> str:
        """Class name without its package."""
        return self.exception.rpartition(".")[2].rpartition("$")[2]

    @property
    def is_wrapper(self) -> bool:
        """Whether the link only says that something below it failed."""
        if self.short_name in ("SqlGatewayException", "SqlExecutionException"):
            return not _is_own_gateway_text(self.text)
        if self.short_name in _WRAPPERS or not self.text or self.text.startswith(_WRAPPER_TEXTS):
            return True
        nested = _CAUSE.match(self.text)  # Java's default message of a wrapper is its cause, "x.YException: text"
        return nested is not None and nested["cls"].endswith(("Exception", "Error"))


def _is_own_gateway_text(text: str) -> bool:
    """The gateway's exceptions wrap others, except when it speaks of its own sessions, operations and tokens."""
    return (
        re.search(r"does not exist|max count|Expecting token|Can not find the submitted|not supported", text)
        is not None
    )


def causes(trace: str) -> list[Cause]:
    """Return the chain of causes of a Java stack trace, outermost first; messages on one line each."""
    chain: list[Cause] = []
    exception, lines = "", list[str]()
    in_message = False
    for raw in trace.splitlines():
        line = raw.strip()
        match = _CAUSE.match(line.removeprefix("<Exception on server side:").strip())
        if match and (line.startswith("Caused by: ") or not exception):
            if exception:
                chain.append(_cause(exception, lines))
            exception, lines, in_message = match["cls"], [match["text"] or ""], True
        elif line.startswith(("at ", "... ", "End of exception on server side", "Suppressed: ")):
            in_message = False
        elif in_message and line:
            lines.append(line)
    if exception:
        chain.append(_cause(exception, lines))
    return chain


def _cause(exception: str, lines: list[str]) -> Cause:
    text = " ".join(" ".join(lines).split()).removesuffix("End of exception on server side>").strip()
    nested = _CAUSE.match(text)
    if nested and exception.endswith("SerializedThrowable"):  # stands for an exception whose class Flink cannot load
        return Cause(nested["cls"], nested["text"] or "")
    return Cause(exception, text)


def root_cause(trace: str) -> str:
    """Return the line of a Java stack trace that tells a person what went wrong, without secrets.

    That is the last planner or parser message if there is one, with its position in the statement and a deeper cause
    from outside the planner (a catalog that does not answer); else the deepest message of the chain.
    """
    chain = causes(trace)
    telling = [cause for cause in chain if not cause.is_wrapper]
    if not telling:
        lines = [line.strip() for line in trace.splitlines() if line.strip()]
        return shorten(redact(_describe(chain[-1]) if chain else (lines[0] if lines else "no cause given")))
    planner = [cause for cause in telling if _PLANNER.match(cause.exception)]
    deepest = telling[-1]
    if not planner:
        return shorten(redact(_describe(deepest)))
    text = planner[-1].text.partition("Was expecting")[0].strip()
    position = _POSITION.search(trace)
    if position and not _POSITION.search(text):
        text += f" (line {position[1]}, column {position[2]})"
    if deepest is not planner[-1]:
        text += f": {_describe(deepest)}"
    return shorten(redact(text))


def _describe(cause: Cause) -> str:
    if cause.text and cause.short_name in _SAYS_NOTHING:
        return cause.text
    return f"{cause.short_name}: {cause.text}" if cause.text else cause.short_name


def position_in(trace: str) -> tuple[int, int] | None:
    """Return line and column of the statement, if the parser or the planner names them."""
    found = _POSITION.search(trace)
    return (int(found[1]), int(found[2])) if found else None


def shorten(text: str) -> str:
    """Return at most 600 characters of a message."""
    return text if len(text) <= _TEXT_LIMIT else text[: _TEXT_LIMIT - 1] + "…"
