"""What was done to a session, so that another one can be made like it.

Tables in memory, views, functions and settings belong to one gateway session and go with it. The journal keeps the
statements that made them, in order. Each session remembers how far it has followed; a new one follows from the start,
where pairs that cancel each other out (CREATE and DROP, SET and RESET) are left out.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from orchestration.flink.text.ddl import Head, Path, read_head
from orchestration.flink.text.tokens import tokenize

_DEFAULT_CATALOG, _DEFAULT_DATABASE = "default_catalog", "default_database"
_IN_MEMORY = "generic_in_memory"


@dataclass(frozen=True)
class Entry:
    """One statement.

    Args:
        number: place in the journal, from 1.
        mode: the runtime mode that it succeeded in.
        only_mode: sessions of other modes do not follow it; "": all do.
        only_from: a session that has not followed this far has nothing to undo, and skips the statement.
    """

    number: int
    sql: str
    mode: str
    head: Head
    target: tuple[object, ...]
    names: frozenset[str] = field(repr=False)
    only_mode: str = ""
    only_from: int = 0


class Journal:
    """The statements that made a logical session what it is. Not safe to change from two threads at once.

    Args:
        init: what every session runs when it opens; not repeated, but it says which catalogs there are.
    """

    def __init__(self, init: Iterable[str] = ()) -> None:
        self._entries: list[Entry] = []
        self._last = 0
        self._catalog, self._database = _DEFAULT_CATALOG, _DEFAULT_DATABASE
        self._in_memory = {_DEFAULT_CATALOG}
        self._by_init: set[tuple[object, ...]] = set()
        for sql in init:
            head = read_head(sql)
            if head is not None:
                self._by_init.add(self._target(head))
                self._follow(head)

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def position(self) -> int:
        """Number of the last statement."""
        return self._last

    @property
    def settings(self) -> frozenset[str]:
        """Keys that were SET and not RESET."""
        return frozenset(entry.head.path[0] for entry in self._entries if entry.head.action == "SET")

    def since(self, position: int, mode: str = "") -> list[Entry]:
        """Return what a session of a mode that has followed up to `position` still has to run, in order."""
        return [
            entry
            for entry in self._entries
            if entry.number > position and entry.only_from <= position and entry.only_mode in ("", mode)
        ]

    def has_declared(self, sql: str, mode: str) -> bool:
        """Whether this very statement was recorded for this mode alone, and nothing has undone it."""
        return any((entry.sql, entry.only_mode) == (sql, mode) for entry in self._entries)

    def keeps(self, sql: str) -> bool:
        """Whether `record` would remember this statement: its effect ends with the session."""
        head = read_head(sql)
        return head is not None and self._ends_with_session(head)

    def record(self, sql: str, mode: str = "", *, for_mode_only: bool = False) -> None:
        """Remember a statement that succeeded; one whose effect outlives the session is left out.

        Args:
            mode: of the session that it succeeded in.
        """
        head = read_head(sql)
        if head is None or not self._ends_with_session(head) or self._does_nothing(head):
            return
        names = frozenset(token.name for token in tokenize(sql) if token.name)
        entry = Entry(
            self._last + 1, sql, mode, head, self._target(head), names, only_mode=mode if for_mode_only else ""
        )
        self._last += 1
        kept = self._cancel(entry)  # replaces the list
        self._entries.append(kept)
        self._follow(head)

    def compact(self, position: int) -> None:
        """Forget the DROPs that every session has followed; `position` is that of the last of them."""
        self._entries = [entry for entry in self._entries if entry.only_from == 0 or entry.number > position]

    def _ends_with_session(self, head: Head) -> bool:
        if head.object in ("TABLE", "VIEW", "FUNCTION", "DATABASE", "MODEL", "CONNECTION") and head.action != "USE":
            return head.is_temporary or self._resolve(head)[0] in self._in_memory
        return True

    def _does_nothing(self, head: Head) -> bool:
        """Whether it is CREATE … IF NOT EXISTS of something that the journal makes already."""
        target = self._target(head)
        return head.has_if_not_exists and any(
            entry.target == target and entry.head.action == "CREATE" and not entry.only_mode for entry in self._entries
        )

    def _follow(self, head: Head) -> None:
        """Keep track of the current catalog and database, and of which catalogs live in memory."""
        match head.action:
            case "USE CATALOG" if head.path:
                # The default database of another catalog is not known here.
                is_default = head.path[0] == _DEFAULT_CATALOG
                self._catalog, self._database = head.path[0], _DEFAULT_DATABASE if is_default else ""
            case "USE" if head.path:
                self._database = head.path[-1]
                self._catalog = head.path[0] if len(head.path) > 1 else self._catalog
            case "CREATE" if head.object == "CATALOG" and head.path:
                if dict(head.options).get("type") == _IN_MEMORY:
                    self._in_memory.add(head.path[0])
            case _:
                pass

    def _resolve(self, head: Head) -> Path:
        """Return the full path of a table, view, function or database."""
        current = (self._catalog,) if head.object == "DATABASE" else (self._catalog, self._database)
        return (*current[: max(len(current) + 1 - len(head.path), 0)], *head.path)

    def _target(self, head: Head) -> tuple[object, ...]:
        """Return what two statements on the same object or setting share."""
        if head.action in ("SET", "RESET"):
            return ("SETTING", head.path)
        if head.action in ("USE", "USE CATALOG", "USE MODULES"):
            return (head.action, len(head.path))
        if head.object in ("CATALOG", "MODULE", ""):
            return (head.object or head.action, head.path)
        # Tables and views share their names.
        kind = "TABLE" if head.object == "VIEW" else head.object
        return (kind, head.is_temporary, self._resolve(head))

    def _cancel(self, new: Entry) -> Entry:
        """Forget what `new` makes superfluous, and return `new` with what it depends on."""
        match new.head.action:
            case "SET" | "JAR":
                self._forget(entry for entry in self._entries if entry.target == new.target)
            case "RESET":
                is_all = not new.head.path
                self._forget(
                    entry
                    for entry in self._entries
                    if entry.head.action in ("SET", "RESET") and (is_all or entry.target == new.target)
                )
            case "USE" | "USE CATALOG" | "USE MODULES":
                last = self._entries[-1:]
                self._forget(entry for entry in last if entry.target == new.target)
            case "DROP" | "UNLOAD":
                made = self._life_of(new)
                if made:
                    self._forget(made)
                    return replace(new, only_from=made[0].number)
            case "CREATE" if new.head.replaces:
                self._forget(self._life_of(new))
            case _:
                pass
        return new

    def _life_of(self, new: Entry) -> list[Entry]:
        """Return the statements that made the object of `new`, oldest first; none when they cannot be left out.

        They must stay when something else names the object (a view over a table that is dropped later), when
        it was renamed, or when it existed before: then dropping it does more than undo them.
        """
        if new.target in self._by_init:
            return []
        life: list[Entry] = []
        others: list[Entry] = []
        for entry in reversed(self._entries):
            if entry.target == new.target and not entry.head.renamed_to:
                life.append(entry)
                if entry.head.action in ("CREATE", "LOAD") and not entry.head.has_if_not_exists:
                    break
                if entry.head.action in ("DROP", "UNLOAD"):
                    life.pop()
                    break
            else:
                others.append(entry)
        first = life[-1] if life else None
        if first is None or first.head.action not in ("CREATE", "LOAD"):
            return []
        name = new.head.path[-1] if new.head.path else ""
        if any(name in entry.names for entry in others if entry.number > first.number):
            return []
        return life[::-1]

    def _forget(self, entries: Iterable[Entry]) -> None:
        numbers = {entry.number for entry in entries}
        self._entries = [entry for entry in self._entries if entry.number not in numbers]
