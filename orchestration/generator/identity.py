"""Which row of which file an event is: one header that travels with it."""

from __future__ import annotations

from dataclasses import dataclass

SOURCE_HEADER = "source"
"""Header of every event and of every row that the producer dead-lettered: `<identity>/<row number>` as ASCII text."""

_HASH_CHARS = 16


@dataclass(frozen=True)
class FileIdentity:
    """A file by its content, and the how-many-th deliberate sending of it (`--again` adds one)."""

    sha256: str
    attempt: int = 0

    @property
    def text(self) -> str:
        """Return what the header says: the first 16 hex digits of the hash, and `#attempt` unless it is the first."""
        return self.sha256[:_HASH_CHARS] + (f"#{self.attempt}" if self.attempt else "")


def parse_source(header: bytes | None) -> tuple[str, int] | None:
    """Return (identity, row number from 0) of a `source` header, None if it is none of ours."""
    if header is None:
        return None
    identity, slash, row = header.rpartition(b"/")
    if not slash or not row.isdigit():
        return None
    try:
        return identity.decode("ascii"), int(row)
    except UnicodeDecodeError:
        return None
