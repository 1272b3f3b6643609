"""Tables that a statement can use without declaring them, because their names stand in its text.

They are: the Iceberg catalog `lakehouse`, the tables declared in flink_sql/tables, each dataset's topic as
`<dataset>_raw`, and the sinks of live persistent queries. The session's own tables of the same name win.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from orchestration.broker_security import flink_broker_options
from orchestration.contracts import Column, DatasetContract, list_datasets, load_contract
from orchestration.contracts.resolve import active_contract
from orchestration.errors import ConfigError
from orchestration.flink.text.catalog_sql import SESSION_CATALOG, create_catalog, session_table
from orchestration.flink.text.ddl import Head, read_head
from orchestration.flink.text.mode import Mode
from orchestration.flink.text.references import resolve_ddl
from orchestration.flink.text.render import TEMPLATES_DIR, render, render_used
from orchestration.flink.text.script import split_script
from orchestration.flink.text.tokens import significant, tokenize
from orchestration.naming import CATALOG
from orchestration.redaction import redact
from orchestration.settings import Settings
from orchestration.sql import options_clause, quote_flink, quote_literal
from orchestration.storage import flink_catalog_options

TABLES = "tables"
_LATE = "INTERVAL '5' SECOND"
_IDLE = "5 s"
_ROWTIME = "event_time"
Origin = Literal["catalog", "declared", "dataset", "query"]


@dataclass(frozen=True)
class TableDdl:
    """A statement that makes a table or the catalog known to a session. It may run again: it has IF NOT EXISTS.

    Attributes:
        shown_ddl: without secrets.
        ddl: as it is sent, secrets filled in; never log it.
    """

    name: str
    origin: Origin
    shown_ddl: str
    ddl: str = field(repr=False)


class TableDirectory:
    """Finds the statements that another statement needs.

    Args:
        live_sinks: name to CREATE TABLE (`SinkPlan.shown_ddl`) of the queries that are not deleted.
        templates_dir: the folder `flink_sql`.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        live_sinks: Callable[[], Mapping[str, str]] = dict,
        templates_dir: Path = TEMPLATES_DIR,
    ) -> None:
        self._settings, self._live_sinks, self._templates_dir = settings, live_sinks, templates_dir

    def names(self) -> list[str]:
        """Return all names that are known, sorted."""
        return sorted({CATALOG, *self._declared(), *self._datasets(), *self._live_sinks()})

    def find(self, name: str, *, mode: Mode = "streaming") -> TableDdl | None:
        """Return what makes one name known, or None.

        Raises:
            ConfigError: its declaration is wrong, or a secret in it cannot be read.
        """
        if name == CATALOG:
            ddl = create_catalog(flink_catalog_options(self._settings))
            return TableDdl(name, "catalog", redact(ddl), ddl)
        if name in self._declared():
            return _table(name, "declared", self._read(name))
        if name in self._datasets():
            return _table(name, "dataset", create_topic_table(name, self._contract(name), self._settings, mode))
        ddl = self._live_sinks().get(name)
        return _table(name, "query", ddl) if ddl is not None and not _is_in_catalog(ddl) else None

    def statements_for(self, sql: str, *, mode: Mode = "streaming") -> list[TableDdl]:
        """Return what `sql` needs, in the order to run it: what a view reads comes before the view.

        A name counts when it stands in the text as a word or a quoted identifier, not in a string, a hint or a comment.
        A name that the statement itself creates, alters or drops does not.

        Raises:
            ConfigError, StatementError: as `find`; something in `sql` is never closed.
        """
        found: dict[str, TableDdl] = {}
        known = set(self.names())

        def collect(text: str, above: tuple[str, ...]) -> None:
            for name in _mentioned(text):
                needed = self.find(name, mode=mode) if name in known - found.keys() - {*above} else None
                if needed is not None:
                    if needed.origin == "declared":
                        collect(needed.shown_ddl, (*above, name))
                    found[name] = needed

        collect(sql, ())
        return list(found.values())

    def _declared(self) -> list[str]:
        return [path.stem for path in (self._templates_dir / TABLES).glob("*.sql")]

    def _datasets(self) -> dict[str, str]:
        return {f"{dataset}_raw": dataset for dataset in list_datasets(self._settings.datasets_dir)}

    def _contract(self, name: str) -> DatasetContract:
        dataset = self._datasets()[name]
        if dataset == self._settings.dataset:
            return active_contract(self._settings)
        return load_contract(dataset, self._settings.datasets_dir)

    def _read(self, name: str) -> str:
        template = f"{TABLES}/{name}.sql"
        known = {"BROKER": quote_literal(self._settings.broker_url), "CATALOG": quote_flink(CATALOG)}
        ddl = render_used(template, known, self._templates_dir)
        head = read_head(ddl) if len(split_script(ddl)) == 1 else None
        if head is None or head.action != "CREATE" or head.object not in ("TABLE", "VIEW") or head.path != (name,):
            raise ConfigError(
                f"flink_sql/{template} is not one CREATE TABLE or CREATE VIEW of {name}",
                hint="the file is called like the table; a second table is a second file",
            )
        return ddl


def create_topic_table(name: str, contract: DatasetContract, settings: Settings, mode: Mode) -> str:
    """Return CREATE TABLE of a dataset's topic, from its start; in batch mode up to the end it has at that moment."""
    options = {
        "connector": "kafka",
        "topic": contract.topic,
        **flink_broker_options(settings, is_stored=True),
        "scan.startup.mode": "earliest-offset",
        "scan.watermark.idle-timeout": _IDLE,
        "format": "json",
        "json.timestamp-format.standard": "ISO-8601",
        "json.ignore-parse-errors": "true",
    }
    if mode == "batch":
        options["scan.bounded.mode"] = "latest-offset"
    return render(
        "sources/topic.sql",
        {
            "TABLE": session_table(name),
            "COLUMNS": source_columns(contract.columns),
            "EVENT_TIME": _event_time(contract),
            "OPTIONS": options_clause(options),
        },
    )


def source_columns(columns: Sequence[Column]) -> str:
    """Return names and types of a dataset's events, one a line."""
    return ",\n".join(f"    {quote_flink(column.name)} {column.bronze}" for column in columns)


def _event_time(contract: DatasetContract) -> str:
    """A watermark needs milliseconds at most; another type gets a column of its own."""
    column = contract.column(contract.event_time)
    name = quote_flink(column.name)
    if column.bronze in ("TIMESTAMP(0)", "TIMESTAMP(3)"):
        return f"WATERMARK FOR {name} AS {name} - {_LATE}"
    own = quote_flink(_ROWTIME)
    return f"{own} AS CAST({name} AS TIMESTAMP(3)),\n    WATERMARK FOR {own} AS {own} - {_LATE}"


def _mentioned(sql: str) -> Iterator[str]:
    """Yield the identifiers of a statement, without the one that it creates, alters or drops."""
    own = _own_name(read_head(sql))
    for token in significant(tokenize(sql)):
        if token.name and token.name != own:
            yield token.name


def _own_name(head: Head | None) -> str | None:
    if head is None or head.action not in ("CREATE", "ALTER", "DROP") or not head.path:
        return None
    return head.path[-1]


def _is_in_catalog(ddl: str) -> bool:
    """Whether a table lies in a catalog of its own, where every session finds it."""
    head = read_head(ddl)
    return head is not None and len(head.path) == 3 and head.path[0] != SESSION_CATALOG[0]


def _table(name: str, origin: Origin, ddl: str) -> TableDdl:
    """Put a table into the session's own catalog, unless the session has one of that name."""
    shown = _if_not_exists(ddl, name)
    return TableDdl(name, origin, redact(shown), resolve_ddl(shown))


def _if_not_exists(ddl: str, name: str) -> str:
    """Write the head anew: CREATE TABLE (or VIEW) IF NOT EXISTS <session's catalog>.<name>."""
    tokens = list(tokenize(ddl))
    kind = next(token for token in tokens if token.word in ("TABLE", "VIEW"))
    at = tokens.index(kind) + 1
    while tokens[at].is_blank or tokens[at].word in ("IF", "NOT", "EXISTS"):
        at += 1
    while tokens[at].name or tokens[at].text == ".":
        at += 1
    rest = "".join(token.text for token in tokens[at:])
    return f"CREATE {kind.word} IF NOT EXISTS {session_table(name)}{rest}"
