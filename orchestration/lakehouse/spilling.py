"""DuckDB in memory with a limit; what is more goes to files in a folder of its own."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

_MB_A_THREAD = 128
"""DuckDB asks for 125 MB a thread at least."""


@contextmanager
def open_spilling(folder: Path, memory_mb: int) -> Iterator[duckdb.DuckDBPyConnection]:
    """Give an empty database that holds at most `memory_mb` in memory and the rest below `folder`, for the block.

    Each database has a folder of its own, because two of them would write files of the same names. What a killed
    process left there is removed with the instance's other temporary files, by the next `up`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="duckdb-", dir=folder) as own:
        config: dict[str, str | bool | int | float | list[str]] = {
            "memory_limit": f"{memory_mb}MB",
            "temp_directory": own,
            "threads": max(1, min(os.cpu_count() or 1, memory_mb // _MB_A_THREAD)),
            # The order of rows means nothing here, and keeping it takes memory.
            "preserve_insertion_order": False,
        }
        with duckdb.connect(config=config) as connection:
            yield connection
