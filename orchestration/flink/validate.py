"""Checks SQL before anything is sent to Flink: rules V01 to V17, denied settings, and Flink's own opinion by EXPLAIN."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from typing import Protocol

from orchestration.errors import SqlRefusedError
from orchestration.flink.rules.problem import Permission, Problem, Purpose
from orchestration.flink.session import Mode

NO_PERMISSION: frozenset[Permission] = frozenset()


class Named(Protocol):
    """A result column."""

    @property
    def name(self) -> str: ...


class Explains(Protocol):
    """A session, as far as deep validation needs one."""

    def execute(self, sql: str, /) -> object: ...


def check_sql(
    sql: str,
    *,
    purpose: Purpose = "adhoc",
    mode: Mode = "streaming",
    allow: Set[Permission] = NO_PERMISSION,
    properties: Mapping[str, str] | None = None,
) -> list[Problem]:
    """Return what is wrong with `sql`, in the order of the text; an empty list when nothing is."""
    raise NotImplementedError


def require_valid(
    sql: str,
    *,
    purpose: Purpose = "adhoc",
    mode: Mode = "streaming",
    allow: Set[Permission] = NO_PERMISSION,
    properties: Mapping[str, str] | None = None,
) -> list[Problem]:
    """Return the warnings about `sql`, or raise for its errors."""
    raise SqlRefusedError("")


def check_properties(properties: Mapping[str, str]) -> None:
    """Refuse Flink settings that callers may not set."""
    raise NotImplementedError


def check_columns(columns: Sequence[Named]) -> list[Problem]:
    """Return V15 problems of a described query's columns."""
    raise NotImplementedError


def check_deep(session: Explains, sql: str) -> list[Problem]:
    """Return what Flink's planner says about each statement of `sql`, without running any."""
    raise NotImplementedError
