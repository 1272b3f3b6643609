"""Rows as JSON: four ways to write down the changes of a query.

| encoding | one record | for |
|---|---|---|
| `array` | `[1, "x"]` | rows that are only added |
| `object` | `{"a": 1, "b": "x"}` | the same, with names |
| `changelog` | `{"op": "+U", "a": 1, "b": "x"}` | every change: `+I`, `-U`, `+U`, `-D` |
| `fold` | `[1, "x"]`, at the end only | the rows that are left of a result that ends |

`array` and `object` cannot say that a row was taken back: such changes are left out, and one warning says so.
"""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from typing import Literal, get_args

import orjson

from orchestration.exact_json import Json, to_json
from orchestration.flink.reading.async_results import AsyncRowStream
from orchestration.flink.reading.rows import Change, Column, Row
from orchestration.flink.reading.stream import End, RowStream

Encoding = Literal["array", "object", "changelog", "fold"]
ENCODINGS: tuple[Encoding, ...] = get_args(Encoding)

OnWarning = Callable[[str], object]

_OPS = {"INSERT": "+I", "UPDATE_BEFORE": "-U", "UPDATE_AFTER": "+U", "DELETE": "-D"}
_TAKES_BACK = frozenset({"UPDATE_BEFORE", "DELETE"})


class Encoder:
    """Turns changes into records of one encoding.

    Args:
        on_warning: called at most once for each kind of warning; `warnings` holds them too.
    """

    def __init__(self, columns: Sequence[Column], encoding: Encoding, on_warning: OnWarning | None = None) -> None:
        self.warnings: list[str] = []
        self._encoding, self._on_warning = encoding, on_warning
        taken = ["op"] if encoding == "changelog" else []
        self._names = unique_names([column.name for column in columns], taken)
        self._fold = Fold()

    def encode(self, change: Change) -> Iterator[Json]:
        """Yield the record of a change; none for one that this encoding leaves out or keeps for the end."""
        if self._encoding == "changelog":
            yield {"op": _OPS.get(change.kind, change.kind), **self._object(change.values)}
        elif self._encoding == "fold":
            self._fold.add(change)
        elif change.kind in _TAKES_BACK:
            self._warn_once()
        elif self._encoding == "object":
            yield self._object(change.values)
        else:
            yield to_json(change.values)

    def finish(self, end: End | None) -> Iterator[Json]:
        """Yield what is left to say after the last change: the rows of `fold`."""
        if self._encoding != "fold":
            return
        if end is not None and end.reason not in ("eos", "error"):
            self._warn(f"the query was stopped before its end ({end.reason}): these are its rows up to that moment")
        for values in self._fold.rows():
            yield to_json(values)

    def _object(self, values: Row) -> dict[str, Json]:
        return {name: to_json(value) for name, value in zip(self._names, values, strict=True)}

    def _warn_once(self) -> None:
        if not self.warnings:
            self._warn(
                f"the query changes rows that it gave before; '{self._encoding}' shows the new ones and leaves out "
                "that the old ones are gone: use the encoding 'changelog', or 'fold' for a query that ends"
            )

    def _warn(self, text: str) -> None:
        self.warnings.append(text)
        if self._on_warning is not None:
            self._on_warning(text)


def encode(stream: RowStream, encoding: Encoding = "array", on_warning: OnWarning | None = None) -> Iterator[Json]:
    """Yield the records of a stream; `json_text` writes one. Leaving early closes the stream.

    Raises: as iterating over the stream.
    """
    with stream:
        encoder = Encoder(stream.columns, encoding, on_warning)
        for change in stream:
            yield from encoder.encode(change)
        yield from encoder.finish(stream.end)


async def encode_async(
    stream: AsyncRowStream, encoding: Encoding = "array", on_warning: OnWarning | None = None
) -> AsyncIterator[Json]:
    """Yield the records of a stream, as `encode`."""
    async with stream:
        encoder = Encoder(await stream.columns(), encoding, on_warning)
        async for change in stream:
            for record in encoder.encode(change):
                yield record
        for record in encoder.finish(stream.end):
            yield record


class Fold:
    """The rows that a changelog leaves: a multiset, in which +I and +U add a copy and -U and -D remove one.

    A row that replaces another stands in its place; otherwise rows stand in the order in which they came. Removing a
    row that is not there changes nothing. Holds all rows.
    """

    def __init__(self) -> None:
        self._rows: dict[int, Row] = {}
        self._places: dict[bytes, list[int]] = {}
        self._next, self._hole = 0, -1

    def add(self, change: Change) -> None:
        """Apply one change."""
        key = orjson.dumps(to_json(change.values), default=str)
        if change.kind in _TAKES_BACK:
            places = self._places.get(key)
            if places:
                self._hole = places.pop()
                del self._rows[self._hole]
                if not places:
                    del self._places[key]
            return
        place, self._hole = (self._hole, -1) if self._hole >= 0 and change.kind == "UPDATE_AFTER" else (self._next, -1)
        self._next = max(self._next, place + 1)
        self._rows[place] = change.values
        self._places.setdefault(key, []).append(place)

    def rows(self) -> list[Row]:
        """Return the rows that are left."""
        return [self._rows[place] for place in sorted(self._rows)]


def fold(changes: Iterable[Change]) -> list[Row]:
    """Return the rows that `changes` leave (see `Fold`)."""
    folded = Fold()
    for change in changes:
        folded.add(change)
    return folded.rows()


def unique_names(names: Sequence[str], taken: Iterable[str] = ()) -> list[str]:
    """Return the names; one that is there already gets `_2`, or the next number that is free."""
    unique = list(taken)
    given = len(unique)
    for name in names:
        candidates = (f"{name}_{number}" if number > 1 else name for number in itertools.count(1))
        unique.append(next(candidate for candidate in candidates if candidate not in unique))
    return unique[given:]
