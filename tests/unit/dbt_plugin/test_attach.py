"""Attaching: bundled extensions without a network, and what a user reads when the catalog refuses."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from orchestration.dbt_plugin import attach, extensions
from orchestration.errors import BusyError, CatalogError, StackError
from orchestration.settings import Settings


def test_extensions_load_offline_and_write_nothing_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    with duckdb.connect(config={"autoinstall_known_extensions": "false"}) as conn:
        attach.load_extensions(conn)
        loaded = conn.execute("SELECT extension_name FROM duckdb_extensions() WHERE loaded").fetchall()
    assert set(attach.EXTENSIONS) <= {name for (name,) in loaded}
    assert list(tmp_path.iterdir()) == []


def test_a_missing_extension_names_version_folder_and_package_and_asks_no_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extensions, "bundled", lambda name: None)
    with duckdb.connect(config={"extension_directory": str(tmp_path)}) as conn, pytest.raises(StackError) as caught:
        extensions.load_extensions(conn)
    assert caught.value.code == "PLT-EXTENSION"
    for part in (duckdb.__version__, "linux_amd64", str(tmp_path), "downloads are off", "duckdb-extension-httpfs=="):
        assert part in str(caught.value), part
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_gold_that_is_open_elsewhere_is_busy(tmp_path: Path) -> None:
    settings = Settings(state_dir=tmp_path)
    settings.gold_path.parent.mkdir(parents=True)
    with duckdb.connect(str(settings.gold_path)), pytest.raises(BusyError, match=r"gold\.duckdb is being written"):
        attach.connect(settings)


def test_gold_that_is_no_database_names_the_file_and_the_remedy(tmp_path: Path) -> None:
    settings = Settings(state_dir=tmp_path)
    settings.gold_path.parent.mkdir(parents=True)
    settings.gold_path.write_bytes(b"this is not a database file, but it is long enough to be one" * 100)
    with pytest.raises(CatalogError, match="cannot be opened") as caught:
        attach.connect(settings)
    assert caught.value.hint
