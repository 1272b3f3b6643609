"""Writes the rows of a query to stdout, and says on stderr how they ended."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from orchestration.cli.sql.live import LiveTable, as_cells, right_aligned
from orchestration.cli.sql.options import Encoding, Output
from orchestration.cli.sql.output import csv_line
from orchestration.cli.terminal import duration, number, say, show, table
from orchestration.exact_json import json_text

if TYPE_CHECKING:
    from orchestration.flink.reading.encodings import Encoder
    from orchestration.flink.reading.rows import Column
    from orchestration.flink.reading.stream import End, RowStream

_SETTLE_S = 10.0
_REMEDIES = {"max_rows": "; --max-rows 0 gives all", "timeout": "; --fetch-timeout 0 waits for all"}


def write_stream(stream: RowStream, output: Output, encoding: Encoding | None, *, is_timed: bool = True) -> End:
    """Write a query's rows until it ends, tell on stderr how it ended, and return that; its job is over then.

    Args:
        encoding: None: the final rows for a table, an array a row for everything else.
        is_timed: tell below a table how long it took.

    Raises: as iterating over the stream.
    """
    if output is Output.JSON:
        show(query_document(collect_stream(stream, encoding)))
        count = None
    else:
        count = _write_rows(stream, output, encoding)
    end = stream.end
    assert end is not None, "a closed stream has an end"
    if end.reason != "eos":
        say(f"{end.message}{_REMEDIES.get(end.reason, '')}")
    if count is not None and output is Output.TABLE:
        took = f", {duration(end.elapsed_s)}" if is_timed else ""
        say(f"{number(count)} {'row' if count == 1 else 'rows'}{took}")
    return end


def _write_rows(stream: RowStream, output: Output, encoding: Encoding | None) -> int:
    """Write the rows, and return how many they are."""
    try:
        with stream:
            if output is Output.TABLE and encoding is not Encoding.CHANGELOG:
                return _write_table(stream)
            return _write_records(stream, output, encoding or Encoding.ARRAY)
    finally:
        _settle(stream)


def _write_table(stream: RowStream) -> int:
    """Print the rows that are left in the end, also after Ctrl-C; a query's are shown on a terminal while they come."""
    from orchestration.flink.reading.encodings import Fold

    columns = stream.columns
    if sys.stdout.isatty() and stream.job_id is not None:
        with LiveTable(columns) as live:
            for change in stream:
                live.add(change)
        rows = live.rows()
    else:
        fold = Fold()
        for change in stream:
            fold.add(change)
        rows = fold.rows()
    table([column.name for column in columns], [as_cells(row) for row in rows], right=right_aligned(columns))
    return len(rows)


def _write_records(stream: RowStream, output: Output, encoding: Encoding) -> int:
    columns = stream.columns
    encoder = _encoder(columns, encoding)
    if output is not Output.TABLE:
        is_csv = output is Output.CSV
        return _feed(
            stream, encoder, _csv_writer(columns, encoding) if is_csv else lambda record: show(json_text(record))
        )
    rows = list[list[str]]()
    _feed(stream, encoder, lambda record: rows.append(as_cells(_values(record))))
    table(["op", *(column.name for column in columns)], rows, right=right_aligned(columns))
    return len(rows)


def _feed(stream: RowStream, encoder: Encoder, write: Callable[[object], object]) -> int:
    count = 0
    for change in stream:
        for record in encoder.encode(change):
            write(record)
            count += 1
    for record in encoder.finish(stream.end):
        write(record)
        count += 1
    return count


def _csv_writer(columns: tuple[Column, ...], encoding: Encoding) -> Callable[[object], object]:
    names = [column.name for column in columns]
    show(csv_line(["op", *names] if encoding is Encoding.CHANGELOG else names))
    return lambda record: show(csv_line(_values(record)))


def _values(record: Any) -> list[object]:
    return list(record.values()) if isinstance(record, dict) else list(record)


def query_document(facts: dict[str, object]) -> str:
    """Return the one JSON document of a query: a row a line, so that people can read it too."""
    head = ",\n  ".join(f'"{key}": {json_text(value)}' for key, value in facts.items() if key != "rows")
    rows = ",\n    ".join(map(json_text, cast("list[object]", facts["rows"])))
    return f'{{\n  {head},\n  "rows": [' + (f"\n    {rows}\n  " if rows else "") + "]\n}"


def collect_stream(stream: RowStream, encoding: Encoding | None) -> dict[str, object]:
    """Read a query to its end and return columns, job, rows and how they ended, for a document of JSON values."""
    try:
        with stream:
            columns, job_id = stream.columns, stream.job_id
            encoder = _encoder(columns, encoding or Encoding.ARRAY)
            rows = list[object]()
            _feed(stream, encoder, rows.append)
    finally:
        _settle(stream)
    end = stream.end
    return {
        "columns": [{"name": one.name, "type": one.type, "nullable": one.is_nullable} for one in columns],
        "job_id": job_id,
        "end": end and {"reason": end.reason, "rows": end.rows, "elapsed_s": round(end.elapsed_s, 3)},
        "rows": rows,
    }


def _encoder(columns: tuple[Column, ...], encoding: Encoding) -> Encoder:
    from orchestration.flink.reading.encodings import Encoder

    return Encoder(columns, encoding.value, on_warning=lambda text: say(f"warning: {text}"))


def _settle(stream: RowStream) -> None:
    """Wait until the job of a query that was ended early is over."""
    if stream.end is None or stream.end.reason != "eos":
        stream.wait_settled(_SETTLE_S)
