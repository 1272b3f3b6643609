"""The pipeline behind a catalog in the shape of Polaris: roles of the committed setup, realm, tokens that live 5 s.

What is wrong gets a code and a remedy of its own from each client; the planted secret is nowhere.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote, quote_plus

import duckdb
import psutil
import pytest
from dbt.adapters.duckdb.credentials import DuckDBCredentials

from orchestration.catalog import find_table, open_catalog
from orchestration.cli.main import run
from orchestration.contracts.resolve import active_contract
from orchestration.dbt_plugin.attach import attach_catalog, connect_catalog
from orchestration.dbt_plugin.config import bound_settings
from orchestration.dbt_plugin.credentials import resolve_credentials
from orchestration.dbt_plugin.plugin_config import PluginConfig
from orchestration.dbt_plugin.polaris import Plugin
from orchestration.dbt_plugin.refusals import refusal_in
from orchestration.dbt_plugin.runner import run_dbt
from orchestration.errors import MillraceError
from orchestration.flink.client.gateway import GatewayClient
from orchestration.flink.sessions.session import open_session
from orchestration.flink.text.catalog_sql import create_catalog
from orchestration.lakehouse.bronze import load_bronze_table
from orchestration.secrets import SecretPlaces
from orchestration.settings import Settings
from orchestration.storage import flink_catalog_options
from tests.integration.home import Ended
from tests.integration.lake import Lake, closed_port, expect
from tests.polaris.gateway import Polaris, Recorded
from tests.polaris.pipeline import PLANTED, REALM, Guarded, open_guarded

pytestmark = pytest.mark.stack

ROWS, DIRTY = 3000, 0.1
TOKEN_LIVES_S = 5.0
SCOPE = "PRINCIPAL_ROLE:millrace_flink PRINCIPAL_ROLE:millrace_dbt PRINCIPAL_ROLE:millrace_maintenance"
COUNT = "select count(*) from lakehouse.silver.cleaned_trips"


@dataclass(frozen=True)
class Ran:
    """The pipeline's run through the gateway, its requests, and each command line that was seen meanwhile."""

    ended: Ended
    requests: list[Recorded]
    command_lines: frozenset[str]


@contextmanager
def watched_command_lines() -> Iterator[set[str]]:
    """Collect the command lines of all processes while the block runs."""
    seen: set[str] = set()
    over = threading.Event()

    def watch() -> None:
        while not over.wait(1.0):
            for process in psutil.process_iter(["cmdline"]):
                seen.add(" ".join(process.info["cmdline"] or []))

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()


@pytest.fixture(scope="module")
def guarded(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """A home whose bronze and silver were loaded as the principal of these steps."""
    with open_guarded(settings, tmp_path_factory.mktemp("polaris"), lifetime_s=TOKEN_LIVES_S) as opened:
        loader = lake(opened, "millrace-flink")
        loader.land(loader.sample("2024-01", ROWS, DIRTY))
        loader.load()
        yield opened


@pytest.fixture(scope="module")
def ran(guarded: Guarded) -> Ran:
    """A small run of the whole pipeline in one process, as the principal `millrace`."""
    guarded.polaris.clear()
    sample = guarded.home.lake.sample("2024-02", ROWS, DIRTY)
    with watched_command_lines() as seen:
        ended = guarded.home.millrace("run", "--data", str(sample), "--json", **guarded.environ(CATALOG_SCOPE=SCOPE))
    return Ran(ended, list(guarded.polaris.requests), frozenset(seen))


@pytest.fixture
def polaris(guarded: Guarded) -> Iterator[Polaris]:
    """The gateway, without the faults of the test before."""
    guarded.polaris.clear()
    yield guarded.polaris
    guarded.polaris.clear()


def lake(guarded: Guarded, principal: str) -> Lake:
    """Return the tables, as a principal reaches them."""
    settings = guarded.settings(principal)
    return Lake(settings, active_contract(settings), guarded.home.folder)


def test_the_whole_pipeline_passes_with_tokens_that_live_five_seconds(guarded: Guarded, ran: Ran) -> None:
    assert ran.ended.code == 0, ran.ended.err
    twice = {name: 2 * count for name, count in expect(ROWS, DIRTY).items()}
    assert guarded.home.lake.counts().as_dict() == twice


def test_every_request_of_every_client_carries_realm_and_scope(ran: Ran) -> None:
    agents = {one.headers["user-agent"].partition("/")[0] for one in ran.requests}
    assert agents >= {"duckdb", "PyIceberg", "Apache-HttpClient"}
    assert {one.headers.get("polaris-realm") for one in ran.requests} == {REALM}
    asked = [one for one in ran.requests if one.path.endswith("/oauth/tokens")]
    assert len(asked) > 3
    assert [one.body for one in asked if b"millrace_flink" not in one.body or b"ALL" in one.body] == []


def test_flink_names_a_wrong_warehouse(guarded: Guarded, polaris: Polaris) -> None:
    options = flink_catalog_options(guarded.settings("millrace-flink", CATALOG_WAREHOUSE="nowhere"))
    with (
        GatewayClient(guarded.home.settings.flink_sql_gateway_url) as gateway,
        pytest.raises(MillraceError, match="Unable to find warehouse nowhere") as caught,
        open_session(gateway, mode="batch", properties={}, init=[create_catalog(options)], name="wrong warehouse"),
    ):
        pass
    assert PLANTED not in str(caught.value)


def test_the_planted_secret_is_in_no_output_file_log_or_command_line(
    guarded: Guarded, ran: Ran, settings: Settings
) -> None:
    assert PLANTED not in ran.ended.out + ran.ended.err
    assert not any(PLANTED in line for line in ran.command_lines)
    # With what Flink logged about the catalog of the test before.
    folders = [guarded.home.folder, settings.repo_root / "dbt", settings.instance_dir / "logs"]
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
    assert len(files) > 50
    spellings = {PLANTED, json.dumps(PLANTED)[1:-1], PLANTED.replace("'", "''"), quote(PLANTED), quote_plus(PLANTED)}
    spellings.add(PLANTED.rpartition("-")[2])
    found = {str(path): [one for one in spellings if one.encode() in path.read_bytes()] for path in files}
    assert {path: one for path, one in found.items() if one} == {}


def test_dagsters_definitions_hold_no_credentials(guarded: Guarded, polaris: Polaris) -> None:
    ended = guarded.home.script("dg", "list", "defs", "--json", **guarded.environ())
    assert ended.code == 0, ended.err
    assert PLANTED not in ended.out + ended.err
    assert polaris.requests == []


# Roles


def test_maintenance_needs_only_its_own_principal(guarded: Guarded, polaris: Polaris) -> None:
    ended = guarded.home.millrace("maintain", "--json", **guarded.environ("millrace-maintenance"))
    assert ended.code == 0, ended.err
    assert [one for one in polaris.requests if one.status == 403] == []


def test_dbt_needs_only_its_own_principal_and_names_the_grant_that_it_lacks(guarded: Guarded, polaris: Polaris) -> None:
    settings = guarded.settings("millrace-dbt")
    run_dbt(settings, ["build"]).require_success()
    assert {one.principal for one in polaris.requests if one.principal} == {"millrace-dbt"}
    # To list relations DuckDB asks for the tables of every namespace, and skips those that it may not see.
    assert {one.path.rpartition("/")[2] for one in polaris.requests if one.status == 403} <= {"tables"}
    polaris.forbid("LOAD_TABLE", "silver.cleaned_trips")
    with pytest.raises(MillraceError) as caught:
        run_dbt(settings, ["run", "--select", "int_trip_metrics"]).require_success()
    assert (caught.value.code, caught.value.context["privilege"]) == ("PLT-GRANT", "TABLE_READ_PROPERTIES")


NOT_ALLOWED = [
    pytest.param(
        "millrace-dbt", "select count(*) from lakehouse.bronze.raw_trips", "LOAD_TABLE", id="dbt-reads-bronze"
    ),
    pytest.param(
        "millrace-dbt", "create table lakehouse.silver.x as select 1 a", "CREATE_TABLE", id="dbt-writes-silver"
    ),
    pytest.param(
        "millrace-flink", "create table lakehouse.gold.x as select 1 a", "CREATE_TABLE", id="flink-writes-gold"
    ),
    pytest.param("millrace-flink", "drop table lakehouse.silver.cleaned_trips", "DROP_TABLE", id="flink-drops-silver"),
    pytest.param(
        "millrace-maintenance", "create table lakehouse.gold.x as select 1 a", "CREATE_TABLE", id="maintainer"
    ),
]


@pytest.mark.parametrize(("principal", "sql", "operation"), NOT_ALLOWED)
def test_no_role_can_do_the_work_of_another(
    guarded: Guarded, polaris: Polaris, principal: str, sql: str, operation: str
) -> None:
    config, credentials = plugged(guarded, principal)
    with duckdb.connect() as conn:
        attach_catalog(conn, config, credentials)
        with pytest.raises(duckdb.Error, match=f"not authorized for op {operation}"):
            conn.execute(sql)


# What is wrong, by client


def plugged(guarded: Guarded, principal: str = "millrace", **changes: Any) -> tuple[PluginConfig, Any]:
    """Return the configuration that a profile gives the plugin, and its credentials."""
    client = guarded.polaris.client(principal)
    places = SecretPlaces({"POLARIS_CLIENT_ID": client.client_id, "POLARIS_CLIENT_SECRET": client.secret}, managers={})
    config = PluginConfig.from_profile(profile(guarded) | changes)
    return config, resolve_credentials(config, places)


def profile(guarded: Guarded) -> dict[str, Any]:
    return {
        "catalog_uri": guarded.polaris.url,
        "warehouse": "lakehouse",
        "client_id_ref": "polaris-client-id",
        "client_secret_ref": "polaris-client-secret",
        "scope": "PRINCIPAL_ROLE:ALL",
        "realm": REALM,
        "access_delegation": "none",
        "storage": {"type": "local"},
        "namespaces": ["silver", "gold"],
    }


WRONG = [
    pytest.param({"CATALOG_CLIENT_SECRET": "planted-other"}, "PLT-AUTH", 1, id="secret"),
    pytest.param({"CATALOG_CLIENT_ID": "nobody"}, "PLT-AUTH", 1, id="id"),
    pytest.param({"CATALOG_SCOPE": "catalog"}, "PLT-AUTH", 1, id="scope"),
    pytest.param({"CATALOG_REALM": "elsewhere"}, "PLT-AUTH", 1, id="realm"),
    pytest.param({"CATALOG_WAREHOUSE": "nowhere"}, "PLT-WAREHOUSE", 1, id="warehouse"),
    pytest.param({"CATALOG_URI": f"http://127.0.0.1:{closed_port()}/api/catalog"}, "PLT-UNREACHABLE", 4, id="port"),
    pytest.param({"CATALOG_URI": "http://catalog.invalid/api/catalog"}, "PLT-UNREACHABLE", 4, id="host"),
]


def as_environment(monkeypatch: pytest.MonkeyPatch, guarded: Guarded, changes: dict[str, str]) -> None:
    """Let a command in this process find the settings of the home, some of them changed."""
    for name in [name for name in os.environ if name.startswith("MILLRACE_")]:
        monkeypatch.delenv(name)
    for name, value in {**guarded.home.environ, **guarded.environ(), **changes}.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize(("changes", "code", "exit_code"), WRONG)
def test_each_wrong_setting_gets_its_own_message_from_the_command(
    guarded: Guarded,
    polaris: Polaris,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    changes: dict[str, str],
    code: str,
    exit_code: int,
) -> None:
    as_environment(monkeypatch, guarded, changes)
    assert run(["duckdb", "--json", "-c", COUNT]) == exit_code
    said = capsys.readouterr()
    error = json.loads(said.out)["error"]
    assert (error["code"], error["exit_code"]) == (code, exit_code)
    assert error["hint"]
    assert "Traceback" not in said.out + said.err
    assert "planted" not in said.out + said.err


def test_a_query_on_a_table_without_a_grant_names_the_privilege(
    guarded: Guarded, polaris: Polaris, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    as_environment(monkeypatch, guarded, {})
    polaris.forbid("LOAD_TABLE", "silver.cleaned_trips")
    assert run(["duckdb", "--json", "-c", COUNT]) == 1
    error = json.loads(capsys.readouterr().out)["error"]
    assert (error["code"], error["context"]["privilege"]) == ("PLT-GRANT", "TABLE_READ_PROPERTIES")


@pytest.mark.parametrize(("changes", "code", "exit_code"), WRONG)
def test_pyiceberg_says_the_same_as_duckdb(
    guarded: Guarded, polaris: Polaris, changes: dict[str, str], code: str, exit_code: int
) -> None:
    with pytest.raises(MillraceError) as caught:
        open_catalog(guarded.settings(**changes))
    assert (caught.value.code, caught.value.exit_code) == (code, exit_code)
    assert "planted" not in str(caught.value)


def test_a_run_with_a_wrong_secret_ends_with_one_clear_error(guarded: Guarded, polaris: Polaris) -> None:
    sample = guarded.home.lake.sample("2024-03", 100)
    environ = guarded.environ(CATALOG_CLIENT_SECRET="planted-other")
    ended = guarded.home.millrace("run", "--data", str(sample), **environ)
    assert ended.code != 0
    [line] = [line for line in ended.err.splitlines() if line.startswith("error: ")]
    assert "refused the credentials (CATALOG_CLIENT_ID and CATALOG_CLIENT_SECRET" in line
    assert "planted" not in ended.out + ended.err


def test_a_grant_that_flink_lacks_is_named_with_the_privilege(guarded: Guarded, polaris: Polaris) -> None:
    loader = lake(guarded, "millrace-flink")
    loader.land(loader.sample("2024-04", 50, seed=8))
    polaris.forbid("UPDATE_TABLE", "bronze.raw_trips")
    with pytest.raises(MillraceError) as caught:
        load_bronze_table(loader.settings, loader.contract)
    assert caught.value.code == "PLT-GRANT"
    assert "TABLE_WRITE_PROPERTIES" in (caught.value.hint or "")
    polaris.clear()
    loader.load()


# Faults


Ask = Callable[[Guarded, float], object]


def by_duckdb(guarded: Guarded, timeout_s: float) -> object:
    config, credentials = plugged(guarded, timeout_s=timeout_s)
    with duckdb.connect() as conn:
        attach_catalog(conn, config, credentials)
        return conn.execute(COUNT).fetchall()


def by_pyiceberg(guarded: Guarded, timeout_s: float) -> object:
    settings = guarded.settings(ICEBERG_METADATA_TIMEOUT_S=str(timeout_s))
    return find_table(open_catalog(settings), "silver.cleaned_trips")


CLIENTS = [pytest.param(by_duckdb, id="duckdb"), pytest.param(by_pyiceberg, id="pyiceberg")]


@pytest.mark.parametrize("ask", CLIENTS)
@pytest.mark.parametrize("path", ["oauth/tokens", "v1/config"])
@pytest.mark.parametrize("status", [503, 429])
def test_two_refusals_of_a_busy_catalog_are_lived_through(
    guarded: Guarded, polaris: Polaris, ask: Ask, path: str, status: int
) -> None:
    polaris.fail(path=path, status=status, times=2)
    assert ask(guarded, 30)


@pytest.mark.parametrize("ask", CLIENTS)
def test_a_catalog_that_stays_busy_is_unreachable(guarded: Guarded, polaris: Polaris, ask: Ask) -> None:
    polaris.fail(path="v1/config", status=503, times=99)
    with pytest.raises(MillraceError) as caught:
        ask(guarded, 30)
    assert (caught.value.code, caught.value.exit_code) == ("PLT-UNREACHABLE", 4)
    assert len(polaris.seen("v1/config")) == 4


@pytest.mark.parametrize("ask", CLIENTS)
def test_a_slow_catalog_is_given_up_after_the_timeout_which_is_named(
    guarded: Guarded, polaris: Polaris, ask: Ask
) -> None:
    polaris.fail(path="v1/config", delay_s=20, times=99)
    with pytest.raises(MillraceError) as caught:
        ask(guarded, 2)
    assert caught.value.code == "PLT-UNREACHABLE"
    assert "timeout 2 s" in caught.value.message
    assert "host 127.0.0.1, port" in caught.value.message


def test_a_token_that_is_revoked_early_is_renewed_unseen(guarded: Guarded, polaris: Polaris) -> None:
    catalog = open_catalog(guarded.settings())
    with connect_catalog(guarded.settings()) as conn:
        polaris.tokens.revoke_all()
        assert conn.execute(COUNT).fetchone()
        assert find_table(catalog, "silver.cleaned_trips") is not None


def test_credentials_that_are_withdrawn_in_mid_run_are_told_from_wrong_ones(guarded: Guarded, polaris: Polaris) -> None:
    settings = guarded.settings()
    catalog = open_catalog(settings)
    with connect_catalog(settings) as conn:
        polaris.tokens.revoke_all()
        polaris.tokens.gives = False
        with pytest.raises(MillraceError) as caught:
            find_table(catalog, "silver.cleaned_trips")
        assert caught.value.code == "PLT-TOKEN-EXPIRED"
        with pytest.raises(duckdb.Error) as said:
            conn.execute(COUNT)
    refusal = refusal_in(str(said.value), settings, "the query")
    assert refusal is not None
    assert refusal.code == "PLT-TOKEN-EXPIRED"


# The plugin


def test_the_plugin_attaches_as_dbt_does_and_shows_no_secret(guarded: Guarded, polaris: Polaris) -> None:
    client = polaris.client("millrace-dbt")
    environ = {"POLARIS_CLIENT_ID": client.client_id, "POLARIS_CLIENT_SECRET": client.secret}
    settings = guarded.settings("millrace-dbt", **environ)
    with bound_settings(settings):
        plugin = Plugin("polaris", profile(guarded), DuckDBCredentials(schema="main"))
        config: dict[str, Any] = {}
        plugin.update_connection_config(SimpleNamespace(), config)
        with duckdb.connect(config=config) as conn:
            plugin.configure_connection(conn)
            assert conn.execute(COUNT).fetchone()
            told = conn.execute("from duckdb_databases()").fetchall() + conn.execute("from duckdb_secrets()").fetchall()
            with pytest.raises(duckdb.InvalidInputException, match="unredacted"):
                conn.execute("from duckdb_secrets(redact=false)")
    assert "planted" not in str(told)


def test_inline_credentials_work_and_can_be_read_back(guarded: Guarded, polaris: Polaris) -> None:
    config, credentials = plugged(guarded, credential_style="inline")
    with duckdb.connect() as conn:
        attach_catalog(conn, config, credentials)
        [(options,)] = conn.execute(
            "select options from duckdb_databases() where database_name = 'lakehouse'"
        ).fetchall()
    assert options["client_secret"] == guarded.polaris.client().secret


def test_an_alias_with_other_credentials_is_attached_anew_and_the_same_one_kept(
    guarded: Guarded, polaris: Polaris
) -> None:
    with duckdb.connect() as conn:
        for principal in ("millrace-flink", "millrace-dbt", "millrace-dbt"):
            polaris.requests.clear()
            config, credentials = plugged(guarded, principal, namespaces=[])
            attach_catalog(conn, config, credentials)
        assert polaris.requests == []
        conn.execute(COUNT)
        assert {one.principal for one in polaris.requests} == {"millrace-dbt"}


def test_a_server_that_takes_any_warehouse_is_found_out(guarded: Guarded, settings: Settings) -> None:
    changes = {"catalog_uri": settings.catalog_uri, "warehouse": "nowhere", "namespaces": ["no_such_layer"]}
    config = PluginConfig.from_profile({"access_delegation": "none", "storage": {"type": "local"}, **changes})
    with duckdb.connect() as conn:
        with pytest.raises(MillraceError) as caught:
            attach_catalog(conn, config, resolve_credentials(config, SecretPlaces()))
        assert conn.execute("select 1 from duckdb_databases() where database_name = 'lakehouse'").fetchall() == []
    assert caught.value.code == "PLT-WAREHOUSE"
    assert "platform bootstrap" in (caught.value.hint or "")


def test_a_layer_that_was_not_created_is_named(guarded: Guarded, polaris: Polaris) -> None:
    config, credentials = plugged(guarded, namespaces=["silver", "no_such_layer"])
    with duckdb.connect() as conn, pytest.raises(MillraceError, match="no namespace no_such_layer") as caught:
        attach_catalog(conn, config, credentials)
    assert caught.value.code == "PLT-NAMESPACE"


def test_a_secret_that_a_property_names_is_looked_for_before_anybody_is_asked(
    guarded: Guarded, polaris: Polaris
) -> None:
    changes = {"client_id_ref": None, "client_secret_ref": None, "properties": {"SECRET": "polaris_secret"}}
    config, credentials = plugged(guarded, **changes)
    with duckdb.connect() as conn, pytest.raises(MillraceError, match="polaris_secret") as caught:
        attach_catalog(conn, config, credentials)
    assert caught.value.code == "PLT-SECRET-NAME"
    assert polaris.requests == []
