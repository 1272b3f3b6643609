"""PC-21: what a resource profile says reaches DuckDB, and a sort that is too large spills."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from orchestration.dbt_plugin.attach import connection_config
from orchestration.dbt_plugin.plugin_config import PluginConfig
from orchestration.platform_config.quantities import parse_duckdb_size
from orchestration.settings import load_settings

GIB = 1 << 30


def connect(root: Path, limit: int | None, **environ: str) -> duckdb.DuckDBPyConnection:
    group = root / "sys" / "fs" / "cgroup"
    group.mkdir(parents=True)
    (group / "memory.max").write_text("max" if limit is None else str(limit))
    settings = load_settings(environ=environ, repo_root=root, system_root=root)
    settings.duckdb_temp_directory.mkdir(parents=True)
    return duckdb.connect(config=connection_config(PluginConfig.from_settings(settings)))


def setting(conn: duckdb.DuckDBPyConnection, name: str) -> str:
    row = conn.execute("select value from duckdb_settings() where name = ?", [name]).fetchone()
    assert row is not None
    return str(row[0])


@pytest.mark.parametrize("limit", [2 * GIB, 12 * GIB])
def test_duckdb_gets_67_percent_of_the_container_and_the_threads(tmp_path: Path, limit: int) -> None:
    with connect(tmp_path, limit, DUCKDB_THREADS="3") as conn:
        # DuckDB shows one decimal.
        shown = parse_duckdb_size(setting(conn, "memory_limit"))
        assert abs(shown - 0.67 * limit) < GIB * 0.06
        assert setting(conn, "threads") == "3"
        assert setting(conn, "temp_directory") == str(tmp_path / ".millrace" / "default" / "tmp" / "duckdb")


def test_without_a_container_duckdb_decides_itself(tmp_path: Path) -> None:
    with duckdb.connect() as plain, connect(tmp_path, None) as conn:
        assert setting(conn, "memory_limit") == setting(plain, "memory_limit")


def test_a_sort_three_times_the_memory_spills_and_ends(tmp_path: Path) -> None:
    with connect(tmp_path, 100 << 20, DUCKDB_THREADS="1") as conn:
        # 2 million rows of 116 bytes: more than three times 67 MiB.
        query = "select hash(i) as h, repeat(hash(i)::varchar, 6) as t from range(2000000) r(i)"
        conn.execute(f"create temp table sorted as {query} order by h")
        spilled = list((tmp_path / ".millrace" / "default" / "tmp" / "duckdb").iterdir())
        assert spilled
        row = conn.execute("select count(*), sum(length(t)) > 3 * 67 * 1024 * 1024 from sorted").fetchone()
        assert row == (2000000, True)
