"""The commands and where they live. Nothing is imported before a command is asked for, so `millrace --help` is fast."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup
from typer.main import get_group


@dataclass(frozen=True)
class Entry:
    """One word after `millrace`.

    Attributes:
        module: of `orchestration.cli`; has a Typer `app` (a group of commands, or the one command) or `register(app)`.
        summary: its line in `millrace --help`; empty for a command that is not listed.
    """

    name: str
    module: str
    section: str
    summary: str


_START, _STACK, _DATA = "Start here", "The local stack", "Data"
_WATCH, _PROJECT = "Look at it", "The project"

ENTRIES = (
    Entry("demo", "demo", _START, "Run the whole lakehouse on a sample with known defects and show the result."),
    Entry("run", "run", _START, "Bring every layer up to date: landing, bronze, silver, gold."),
    Entry("ui", "ui", _START, "Open Dagster's web interface with its daemon."),
    Entry("up", "stack", _STACK, "Start the stack and wait until it is ready."),
    Entry("down", "stack", _STACK, "Stop the stack; data stays unless --purge."),
    Entry("status", "stack", _STACK, "Show each server, its port and its memory."),
    Entry("logs", "stack", _STACK, "Show the log of a server."),
    Entry("restart", "stack", _STACK, "Restart one server."),
    Entry("sample", "sample", _DATA, "Write a sample file of taxi trips, clean or with known defects."),
    Entry("duckdb", "duckdb", _DATA, "Query the lakehouse with DuckDB: a shell or one statement."),
    Entry("sql", "sql.group", _DATA, "Query Flink SQL, and deploy queries that run until they are stopped."),
    Entry("stream", "stream", _DATA, "Feed bronze and silver continuously: deploy, status, stop, upgrade."),
    Entry("counts", "counts", _DATA, "Count the rows of every layer."),
    Entry("lag", "lag", _DATA, "Show how far bronze is behind the topic."),
    Entry("dlq", "dlq", _DATA, "List, show and replay dead letters."),
    Entry("snapshots", "snapshots", _DATA, "List the snapshots of a table."),
    Entry("rollback", "snapshots", _DATA, "Roll a table back to an earlier snapshot."),
    Entry("maintain", "maintain", _DATA, "Compact tables, expire their snapshots, remove orphaned files."),
    Entry("health", "health", _WATCH, "Say of each service, query and layer how well it is."),
    Entry("report", "report", _WATCH, "Write the marts' plots and the accounting as one HTML page, and open it."),
    Entry("validate", "validate", _WATCH, "Check services, jobs, data and models; exact accounting."),
    Entry("jobs", "jobs", _WATCH, "List, show and cancel Flink jobs."),
    Entry("metrics", "metrics", _WATCH, "Print or serve the metrics of everything, for Prometheus."),
    Entry("doctor", "doctor", _WATCH, "Check this machine and this checkout."),
    Entry("compile", "compile", _PROJECT, "Check millrace.yaml and platform.yaml and write the dbt profile."),
    Entry("platform", "platform", _PROJECT, "Check, list, explain and apply platform.yaml."),
    Entry("schema", "schema", _PROJECT, "Write the JSON Schemas of both files."),
    Entry("config", "config", _PROJECT, "Show, check and choose settings."),
    Entry("test", "test", _PROJECT, "Run the tests."),
    Entry("jars", "stack", _PROJECT, ""),
)


class _Commands(Mapping[str, Any]):
    """Name to click command, imported on access."""

    def __init__(self) -> None:
        self._entries = {entry.name: entry for entry in ENTRIES}

    def __getitem__(self, name: str) -> Any:
        return load_command(self._entries[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)


class LazyGroup(TyperGroup):
    """The root command."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.commands: Any = _Commands()

    def list_commands(self, ctx: object) -> list[str]:
        """Return the names without importing anything."""
        return list(self.commands)

    def format_commands(self, ctx: object, formatter: Any) -> None:
        """Write the commands by section, from the table alone."""
        listed = [entry for entry in ENTRIES if entry.summary]
        width = max(len(entry.name) for entry in listed)
        for section in dict.fromkeys(entry.section for entry in listed):
            with formatter.section(section):
                formatter.write_dl(
                    [(entry.name.ljust(width), entry.summary) for entry in listed if entry.section == section]
                )


def load_command(entry: Entry) -> Any:
    """Import a command's module and return its click command."""
    module = import_module(f"orchestration.cli.{entry.module}")
    holder = typer.Typer(rich_markup_mode=None, add_completion=False)
    holder.callback()(lambda: None)
    if hasattr(module, "register"):
        module.register(holder)
        return get_group(holder).commands[entry.name]
    app: typer.Typer = module.app
    if not app.registered_callback and not app.registered_groups and len(app.registered_commands) == 1:
        app.registered_commands[0].name = entry.name
        holder.registered_commands.append(app.registered_commands[0])
    elif any(_name_of(command) == entry.name for command in app.registered_commands):
        holder.registered_commands.extend(app.registered_commands)
    else:
        holder.add_typer(app, name=entry.name)
    return get_group(holder).commands[entry.name]


def _name_of(command: Any) -> str:
    return command.name or command.callback.__name__.replace("_", "-")
