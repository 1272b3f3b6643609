"""Runs the statements of a script one after the other in one session."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass

from orchestration.errors import MillraceError
from orchestration.flink.reading.feed import Limits
from orchestration.flink.reading.stream import RowStream
from orchestration.flink.runner import Runner
from orchestration.flink.sessions.logical import LogicalSession
from orchestration.flink.text.kinds import StatementKind
from orchestration.flink.text.mode import Mode
from orchestration.flink.text.script import Statement, locate_error


@dataclass(frozen=True)
class StatementOutcome:
    """What one statement of a script did.

    Args:
        statement: as it stands in the script, without its semicolon.
        line: of its first word in the script, from 1.
        stream: the rows of a query or of SHOW, DESCRIBE, EXPLAIN; closed when the next statement is asked for.
        job_id: of the job that it started; None for queries, whose stream has it.
    """

    statement: str
    line: int
    kind: StatementKind
    stream: RowStream | None = None
    job_id: str | None = None


def run_statements(
    runner: Runner,
    session: LogicalSession,
    statements: Sequence[Statement],
    declarations: Callable[[str, Mode], Sequence[str]],
    limits: Limits,
) -> Generator[StatementOutcome]:
    """Run each statement when it is asked for; the first error ends the script.

    Args:
        declarations: what a statement needs to be declared first, by its text and mode.

    Raises:
        MillraceError: as `Runner.until_accepted`; those of a query come with its stream.
    """
    for statement in statements:
        sql, kind = statement.text, statement.kind
        session.declare(declarations(sql, session.mode))
        if kind.only_reads:
            result = session.submit(sql)
            result.pages.origin = statement
            with runner.stream(result, limits, kind, lambda _: None) as stream:
                yield StatementOutcome(sql, statement.line, kind, stream)
        else:
            try:
                job_id = runner.until_accepted(session, sql, kind)
            except MillraceError as error:
                raise locate_error(error, statement) from error
            yield StatementOutcome(sql, statement.line, kind, job_id=job_id)
