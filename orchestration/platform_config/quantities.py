"""Sizes and amounts: Kubernetes' spelling, DuckDB's spelling, and the limit of this process's container."""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path

DUCKDB_SHARE = Decimal("0.67")
"""Of a container's memory that DuckDB may use; Python, Arrow and dbt need the rest."""

_QUANTITY = re.compile(r"(\d+(?:\.\d+)?)(m|k|[KMGTPE]i?)?")
_DUCKDB = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]i?B)", re.IGNORECASE)
_POWERS = {"K": 1, "M": 2, "G": 3, "T": 4, "P": 5, "E": 6}
_MIB = 1 << 20
# A container without a limit: "max" in v2; in v1 a number near the largest that fits in 64 bits.
_UNLIMITED = 1 << 60


def parse_quantity(text: str) -> Decimal:
    """Return a Kubernetes quantity as a plain number: `500m` is 0.5, `4Gi` is 4294967296.

    Raises:
        ValueError: it is not one; text and remedy, with ` | ` between.
    """
    match = _QUANTITY.fullmatch(text.strip())
    if not match:
        raise ValueError(f"{text!r} is no quantity | write such as 500m, 2, 12Gi, 512Mi or 8G")
    number, unit = Decimal(match[1]), match[2] or ""
    if unit == "m":
        return number / 1000
    if not unit:
        return number
    return number * (1024 if unit.endswith("i") else 1000) ** _POWERS[unit[0].upper()]


def parse_duckdb_size(text: str) -> int:
    """Return the bytes of a size in DuckDB's spelling: KB, MB, GB, TB are powers of 1000, KiB to TiB of 1024.

    Raises:
        ValueError: DuckDB would refuse it; text and remedy, with ` | ` between.
    """
    match = _DUCKDB.fullmatch(text.strip())
    if not match:
        raise ValueError(
            f"{text!r} is no size that DuckDB knows | write such as 8GB (powers of 1000) or 8GiB (of 1024)"
        )
    base = 1024 if "i" in match[2].lower() else 1000
    return int(Decimal(match[1]) * base ** _POWERS[match[2][0].upper()])


def canonical_size(text: str) -> str:
    """Return a size as DuckDB's documentation writes it: `8gib` is `8GiB`.

    Raises:
        ValueError: as `parse_duckdb_size`.
    """
    parse_duckdb_size(text)
    number, unit = re.findall(r"[\d.]+|[A-Za-z]+", text)
    return f"{number}{unit[0].upper()}{'i' if 'i' in unit.lower() else ''}B"


def duckdb_share(limit_bytes: int) -> str:
    """Return the memory limit of DuckDB in a container of `limit_bytes`, in whole MiB."""
    return f"{int(DUCKDB_SHARE * limit_bytes) // _MIB}MiB"


def container_limit(root: Path = Path("/")) -> int | None:
    """Return the memory limit of this container in bytes, by cgroup v2, else v1; None: there is none.

    The files are those that a container sees of itself. Outside one they hold the machine's own, which has no limit.
    """
    for name in ("sys/fs/cgroup/memory.max", "sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            text = (root / name).read_text(encoding="ascii").strip()
        except OSError:
            continue
        if text.isdigit() and int(text) < _UNLIMITED:
            return int(text)
        return None
    return None
