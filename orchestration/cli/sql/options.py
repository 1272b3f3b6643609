"""Options that several commands of `millrace sql` share."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestration.cli.terminal import AsJson as AsJson

if TYPE_CHECKING:
    from orchestration.flink.text.mode import Mode as FlinkMode


class Output(StrEnum):
    """How a result is written to stdout."""

    TABLE = "table"
    JSON = "json"
    NDJSON = "ndjson"
    CSV = "csv"


class Encoding(StrEnum):
    """How a row is written."""

    ARRAY = "array"
    OBJECT = "object"
    CHANGELOG = "changelog"
    FOLD = "fold"


class Mode(StrEnum):
    """Flink's runtime mode."""

    STREAMING = "streaming"
    BATCH = "batch"


AsOutput = Annotated[
    Output | None, typer.Option("--output", "-o", help="Form of the result; default: table.", show_default=False)
]
AsRowOutput = Annotated[
    Output | None,
    typer.Option("--output", "-o", help="Form of the rows; default: table on a terminal, else ndjson."),
]
RowEncoding = Annotated[
    Encoding | None,
    typer.Option(
        "--encoding",
        "-e",
        help="One row: array of values, object by column, changelog (object with op), fold (the final rows); "
        "default: array.",
    ),
]
RunMode = Annotated[Mode, typer.Option("--mode", "-m", help="Flink's runtime mode.")]
MaxRows = Annotated[
    int | None, typer.Option("--max-rows", min=0, help="End after so many rows; 0: all. Default: SQL_ENGINE_MAX_ROWS.")
]
FetchTimeout = Annotated[
    float | None,
    typer.Option(
        "--fetch-timeout",
        min=0,
        help="End after so many seconds; 0: never. Default: SQL_ENGINE_FETCH_LIMIT.",
        metavar="SECONDS",
    ),
]
Properties = Annotated[
    list[str] | None, typer.Option("--set", "-s", metavar="KEY=VALUE", help="A Flink setting; may be repeated.")
]
Ref = Annotated[str, typer.Argument(metavar="QUERY", help="Name or id of the query, or name or id of its job.")]


def choose_output(given: Output | None, as_json: bool, default: Output = Output.TABLE) -> Output:
    """Return the form to write in; `--json` is another name of `--output json`.

    Raises:
        InputError: both are given and differ.
    """
    from orchestration.errors import InputError

    if as_json and given not in (None, Output.JSON):
        raise InputError(f"--json and --output {given} contradict each other", hint="give one of them")
    return Output.JSON if as_json else given or default


def for_rows() -> Output:
    """Return the form of rows when none is asked for: a table for a person, one JSON value a line for a program."""
    return Output.TABLE if sys.stdout.isatty() else Output.NDJSON


def read_properties(pairs: Iterable[str] | None) -> dict[str, str]:
    """Return `KEY=VALUE` words as a mapping.

    Raises:
        InputError: a word has no `=`, or no key.
    """
    from orchestration.errors import InputError

    found: dict[str, str] = {}
    for pair in pairs or ():
        key, equals, value = pair.partition("=")
        if not key.strip() or not equals:
            raise InputError(f"--set {pair!r} is not of the form KEY=VALUE", hint="such as --set parallelism.default=1")
        found[key.strip()] = value
    return found


def read_sql(given: str | None) -> str:
    """Return the SQL of an argument; `-`, or no argument with something piped in, is standard input.

    Raises:
        InputError: there is none.
    """
    from orchestration.errors import InputError

    if given is not None and given != "-":
        return given
    if given is None and sys.stdin.isatty():
        raise InputError("no SQL was given", hint="give it as the argument, or pipe it in")
    return sys.stdin.read()


def read_file(path: Path) -> str:
    """Return a text file; `-` is standard input.

    Raises:
        InputError: it cannot be read as text.
    """
    from orchestration.errors import InputError

    if str(path) == "-":
        return sys.stdin.read()
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError(f"there is no file {path}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read: {error}") from error


def as_mode(mode: Mode) -> FlinkMode:
    """Return the mode as the engine names it."""
    return "batch" if mode is Mode.BATCH else "streaming"
