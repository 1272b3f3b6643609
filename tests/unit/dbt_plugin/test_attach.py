"""Attaching: bundled extensions without a network, and what a user reads when the catalog refuses."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from orchestration.dbt_plugin import attach
from orchestration.dbt_plugin.config import LakehouseConfig
from orchestration.errors import BusyError, CatalogError, MillraceError, StackError, UnreachableError
from orchestration.settings import Settings

CONFIG = LakehouseConfig.from_settings(
    Settings(
        catalog="polaris",
        catalog_uri="http://catalog.example.com",
        catalog_client_id="dbt",
        catalog_client_secret="planted-value",
        storage="s3",
        warehouse="s3://bucket/wh/",
    )
)


@pytest.mark.parametrize(
    ("said", "kind", "part"),
    [
        pytest.param(
            "IO Error: Could not connect to server error for HTTP GET to 'http://catalog.example.com/v1/config'",
            UnreachableError,
            "does not answer",
            id="nobody-listens",
        ),
        pytest.param(
            "Could not get token from http://x/v1/oauth/tokens: Could not connect to server error for HTTP POST",
            UnreachableError,
            "does not answer",
            id="nobody-gives-tokens",
        ),
        pytest.param("IO Error: Timeout was reached", UnreachableError, "does not answer", id="too-slow"),
        pytest.param(
            "HTTP Error: Request returned HTTP 503 for HTTP GET to 'http://x'", UnreachableError, "503", id="5xx"
        ),
        pytest.param(
            "Could not get token from http://x/v1/oauth/tokens: unauthorized_client",
            CatalogError,
            "refused the credentials",
            id="wrong-secret",
        ),
        pytest.param(
            "Request to 'http://x' returned a non-200 status code (Forbidden_403), with reason: Forbidden",
            CatalogError,
            "does not let this client",
            id="missing-grant",
        ),
        pytest.param(
            "Request to 'http://x' returned a non-200 status code (NotFound_404), with reason: Not Found",
            CatalogError,
            "has no warehouse lakehouse under this address",
            id="wrong-warehouse",
        ),
        pytest.param("Binder Error: something new", CatalogError, "something new", id="anything-else"),
        pytest.param("", CatalogError, "no reason given", id="nothing-said"),
    ],
)
def test_each_refusal_has_its_own_text(said: str, kind: type[MillraceError], part: str) -> None:
    error = attach.as_error(said, CONFIG)
    assert type(error) is kind
    assert part in error.message
    assert "http://catalog.example.com" in error.message
    assert error.hint


def test_secrets_that_duckdb_quotes_are_removed() -> None:
    error = attach.as_error("Parser Error: near CLIENT_SECRET 'planted-value' or planted-value", CONFIG)
    assert "planted-value" not in str(error)


def test_extensions_load_offline_and_write_nothing_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    with duckdb.connect(config={"autoinstall_known_extensions": "false"}) as conn:
        attach.load_extensions(conn)
        loaded = conn.execute("SELECT extension_name FROM duckdb_extensions() WHERE loaded").fetchall()
    assert set(attach.EXTENSIONS) <= {name for (name,) in loaded}
    assert list(tmp_path.iterdir()) == []


def test_missing_extension_names_itself() -> None:
    with pytest.raises(StackError, match="extension nonsense for DuckDB"):
        attach.extension_path("nonsense")


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
