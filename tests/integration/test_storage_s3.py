"""The lake on an S3-compatible store: a stack whose catalog, Flink, PyIceberg and DuckDB all keep their files there."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import pyarrow as pa
import pytest

from orchestration.catalog import open_catalog
from orchestration.dbt_plugin.attach import connect
from orchestration.dbt_plugin.runner import run_dbt
from orchestration.embedded.purge import purge_instance
from orchestration.errors import StatementError
from orchestration.flink.client.gateway import GatewayClient
from orchestration.flink.client.rest import FlinkRest
from orchestration.flink.jobs.submit import run_job
from orchestration.flink.sessions.session import open_session
from orchestration.flink.text.catalog_sql import create_catalog, create_namespace
from orchestration.lakehouse.maintenance.run import maintain
from orchestration.settings import Settings, load_settings
from orchestration.storage import flink_catalog_options
from tests.integration.conftest import make_stack, stack_environ
from tests.integration.home import Home, own_environ
from tests.integration.s3_server import KEY_ID, KEYS, REGION, SECRET_KEY, S3Server, open_s3_server
from tests.polaris.gateway import Polaris, open_polaris

pytestmark = pytest.mark.stack

BUCKET, ROWS = "lake", 500
WRONG = "Wr0ng+planted/secret"


@dataclass(frozen=True)
class Shore:
    """A running stack on the store."""

    home: Home
    store: S3Server
    keyless: dict[str, str]

    @property
    def settings(self) -> Settings:
        """With static keys."""
        return self.home.settings

    def without_keys(self, **changes: str) -> Settings:
        """Return settings of a process whose environment holds no key of the store."""
        return load_settings(environ={**self.keyless, **changes})


@pytest.fixture(scope="module")
def shore(settings: Settings, state_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shore]:
    """Kafka, Flink and catalog of their own: the store is theirs from the start, as `millrace up` does it."""
    folder = tmp_path_factory.mktemp("s3")
    with open_s3_server(settings, folder, BUCKET) as store:
        stack = make_stack(state_dir, "s3", **store.environ(BUCKET), **KEYS)
        try:
            stack.up()
            # A profile `local` with this state folder reads the stack's endpoints from its stack.env.
            keyless = stack_environ(state_dir, "s3") | store.environ(BUCKET)
            (folder / "home").mkdir()
            yield Shore(Home(stack.settings, own_environ(keyless | KEYS), folder / "home"), store, keyless)
        finally:
            stack.down()
            purge_instance(stack.settings)


@pytest.fixture(scope="module")
def first(shore: Shore) -> dict[str, object]:
    """The document of the first whole run."""
    path = shore.home.lake.sample("2024-01", ROWS, 0.1)
    ended = shore.home.millrace("run", "--data", str(path), "--json")
    assert ended.code == 0, ended.err
    return json.loads(ended.out)


def test_the_whole_pipeline_runs_on_s3_and_again_adds_nothing(shore: Shore, first: dict[str, object]) -> None:
    counts, snapshots = shore.home.lake.counts(), shore.home.lake.snapshots()
    assert counts.produced == counts.bronze + counts.dead_lettered
    assert counts.bronze == counts.silver + counts.duplicates + counts.rejected
    assert min(counts.silver, counts.rejected) > 0
    again = shore.home.millrace("run", "--json")
    assert again.code == 0, again.err
    assert (shore.home.lake.counts(), shore.home.lake.snapshots()) == (counts, snapshots)
    assert shore.home.lake.query("SELECT count(*) FROM lakehouse.gold.fct_trips") == [(counts.silver,)]


def test_validation_sees_the_store(shore: Shore, first: dict[str, object]) -> None:
    ended = shore.home.millrace("validate")
    assert ended.code == 0, ended.out
    assert f"s3://{BUCKET}/wh/ at {shore.store.endpoint}" in ended.out


def test_every_file_of_every_table_is_in_the_bucket(shore: Shore, first: dict[str, object]) -> None:
    keys = shore.store.objects(BUCKET)
    for table in ("bronze/raw_trips", "silver/cleaned_trips", "silver/rejected_trips"):
        for kind, ending in (("data", ".parquet"), ("metadata", ".metadata.json"), ("metadata", ".avro")):
            assert [key for key in keys if key.startswith(f"wh/{table}/{kind}/") and key.endswith(ending)], table
    local = shore.settings.instance_dir / "warehouse"
    assert [path for path in local.rglob("*") if path.is_file()] == []


def flink_insert(settings: Settings, name: str, value: int, by: str) -> None:
    """Insert a row through Flink."""
    setup = (
        create_catalog(flink_catalog_options(settings)),
        create_namespace("agree"),
        "CREATE TABLE IF NOT EXISTS lakehouse.agree.rows_of (n INT, writer STRING)",
    )
    with (
        GatewayClient(settings.flink_sql_gateway_url) as gateway,
        FlinkRest(settings.flink_rest_url) as rest,
        open_session(gateway, mode="batch", init=list(setup), name=name) as session,
    ):
        insert = f"INSERT INTO lakehouse.agree.rows_of VALUES ({value}, '{by}')"
        run_job(session, rest, insert, name=name, timeout_s=300)


def write_with_all(settings: Settings, tens: int) -> None:
    """Have each of the three engines write a row into the same table."""
    flink_insert(settings, f"agree.{tens}", tens, "flink")
    table = open_catalog(settings).load_table("agree.rows_of")
    table.append(pa.table({"n": pa.array([tens + 1], pa.int32()), "writer": ["pyiceberg"]}))
    with connect(settings, read_only=False) as connection:
        connection.execute(f"INSERT INTO lakehouse.agree.rows_of VALUES ({tens + 2}, 'duckdb')")


def read_by_flink(settings: Settings, column: str, table: str) -> list[int]:
    """Return the numbers of a column that Flink reads."""
    setup = [create_catalog(flink_catalog_options(settings))]
    with (
        GatewayClient(settings.flink_sql_gateway_url) as gateway,
        open_session(gateway, mode="batch", init=setup, name="agree.read") as session,
    ):
        return sorted(int(str(row[0])) for row in session.execute(f"SELECT {column} FROM {table}").fetch_all())


def read_with_all(settings: Settings) -> tuple[list[int], list[int], list[int]]:
    """Return the numbers that Flink, PyIceberg and DuckDB read."""
    by_flink = read_by_flink(settings, "n", "lakehouse.agree.rows_of")
    by_python = open_catalog(settings).load_table("agree.rows_of").scan().to_arrow()["n"].to_pylist()
    with connect(settings) as connection:
        by_duckdb = [row[0] for row in connection.execute("SELECT n FROM lakehouse.agree.rows_of").fetchall()]
    return by_flink, sorted(by_python), sorted(by_duckdb)


def test_three_engines_write_and_read_the_same_table(shore: Shore) -> None:
    write_with_all(shore.settings, 10)
    assert read_with_all(shore.settings) == ([10, 11, 12],) * 3


def vended(store: S3Server, secret: str) -> dict[str, str]:
    """Return what Polaris hands out for a table: keys and the whole way to the store, which DuckDB takes from it."""
    return {
        "s3.access-key-id": KEY_ID,
        "s3.secret-access-key": secret,
        "s3.endpoint": store.endpoint,
        "s3.path-style-access": "true",
        "client.region": REGION,
    }


@dataclass
class Vendor:
    """What the guarded catalog hands out at the moment."""

    polaris: Polaris
    secret: str = SECRET_KEY

    def settings(self, shore: Shore) -> Settings:
        """Return settings of the principal `millrace`, without a key of the store."""
        return shore.without_keys(**self.environ())

    def environ(self) -> dict[str, str]:
        """Return how to log in to the catalog."""
        client = self.polaris.client("millrace")
        return {
            "CATALOG": "polaris",
            "CATALOG_ACCESS_DELEGATION": "vended-credentials",
            "CATALOG_URI": self.polaris.url,
            "CATALOG_CLIENT_ID": client.client_id,
            "CATALOG_CLIENT_SECRET": client.secret,
        }


@pytest.fixture(scope="module")
def vendor(shore: Shore, first: dict[str, object]) -> Iterator[Vendor]:
    """A catalog that hands out keys of the store, in front of the stack's."""
    with open_polaris(shore.settings.catalog_uri) as polaris:
        found = Vendor(polaris)
        polaris.vend = lambda _namespace, _table: vended(shore.store, found.secret)
        yield found


def test_files_become_marts_without_a_key_where_the_catalog_hands_them_out(shore: Shore, vendor: Vendor) -> None:
    settings = vendor.settings(shore)
    assert settings.access_key_id is None
    assert settings.secret_access_key is None
    before, path = shore.home.lake.counts(), shore.home.lake.sample("2024-02", ROWS, 0.1, seed=7)
    lake = replace(shore.home.lake, settings=settings)
    lake.land(path)
    lake.load()
    after = lake.counts()
    assert after.produced == before.produced + ROWS
    assert after.silver > before.silver
    assert after.bronze == after.silver + after.duplicates + after.rejected
    run_dbt(settings, ["build"]).require_success()
    assert lake.query("SELECT count(*) FROM lakehouse.gold.fct_trips") == [(after.silver,)]
    assert vendor.polaris.seen("/tables/raw_trips", "GET")


def test_a_build_reads_a_table_that_was_written_after_it_began(shore: Shore, vendor: Vendor) -> None:
    settings = vendor.settings(shore)
    catalog = open_catalog(settings)
    rows = pa.table({"n": pa.array([1], pa.int32())})
    table = catalog.create_table("gold.later", rows.schema)
    table.append(rows)
    with connect(settings, read_only=False) as connection:
        connection.execute("BEGIN TRANSACTION")
        began = connection.execute("SELECT epoch_ms(now())").fetchone()
        table.append(rows)
        assert began is not None
        assert table.metadata.last_updated_ms > began[0]
        # Without the keys of a metadata file that is older than the newest DuckDB went to Amazon.
        assert connection.execute("SELECT count(*) FROM lakehouse.gold.later").fetchall() == [(1,)]
        connection.execute("COMMIT")
        assert connection.execute("SELECT count(*) FROM lakehouse.gold.later").fetchall() == [(2,)]


def test_each_engine_uses_the_keys_that_are_handed_out(shore: Shore, vendor: Vendor) -> None:
    settings = vendor.settings(shore)
    vendor.secret = WRONG
    try:
        # Flink's servers hold the right keys in their environment: those handed out must win.
        with pytest.raises(StatementError, match=r"signature we calculated does not match|403"):
            read_by_flink(settings, "vendor_id", "lakehouse.silver.cleaned_trips")
        with pytest.raises(OSError, match=r"ACCESS_DENIED|SIGNATURE"):
            open_catalog(settings).load_table("silver.cleaned_trips").scan().to_arrow()
        with connect(settings) as connection, pytest.raises(Exception, match="403"):
            connection.execute("SELECT count(*) FROM lakehouse.silver.cleaned_trips")
    finally:
        vendor.secret = SECRET_KEY


def test_orphans_are_listed_moved_and_deleted_and_snapshots_expire(shore: Shore, first: dict[str, object]) -> None:
    settings = shore.settings.with_changes(
        iceberg_snapshot_retain_last=1, iceberg_snapshot_max_age_days=0, iceberg_min_input_files=2
    )
    orphan = shore.store.folder / BUCKET / "wh" / "bronze" / "raw_trips" / "data" / "or phan=1.parquet"
    orphan.write_bytes(b"PAR1")
    query = "SELECT count(*), sum(_kafka_offset) FROM {bronze}"
    now, before = datetime.now(UTC), shore.home.lake.query(query)
    reports = [
        maintain(settings, table="bronze.raw_trips", now=now + timedelta(days=days)).tables[0] for days in (0, 4, 9)
    ]
    assert [report.error for report in reports] == [None] * 3
    assert [len(report.vacuum.quarantined) for report in reports if report.vacuum] == [0, 1, 0]
    assert [len(report.vacuum.deleted) for report in reports if report.vacuum] == [0, 0, 1]
    assert not [key for key in shore.store.objects(BUCKET) if "phan" in key]
    assert shore.home.lake.query(query) == before


TROUBLES = {
    "wrong key": ({"AWS_SECRET_ACCESS_KEY": WRONG}, 4, "does not accept the keys"),
    "unknown key id": ({"AWS_ACCESS_KEY_ID": "nobody"}, 4, "does not accept the keys"),
    "missing bucket": ({"WAREHOUSE": "s3://elsewhere/wh/"}, 3, "has no bucket elsewhere"),
    "closed port": ({"S3_ENDPOINT": "http://127.0.0.1:9"}, 5, "at http://127.0.0.1:9 does not answer"),
    "unknown host": ({"S3_ENDPOINT": "http://nobody.invalid:9"}, 5, "does not answer"),
    "no S3": ({"S3_ENDPOINT": "{flink}"}, 3, "has no bucket lake"),
}


@pytest.mark.parametrize(("wrong", "code", "says"), TROUBLES.values(), ids=TROUBLES)
def test_each_trouble_with_the_store_is_one_clear_error_before_a_run(
    shore: Shore, wrong: dict[str, str], code: int, says: str
) -> None:
    changes = {name: value.format(flink=shore.settings.flink_rest_url) for name, value in wrong.items()}
    ended = shore.home.millrace("run", **changes)
    assert ended.code == code, ended.err
    [error] = [line for line in ended.err.splitlines() if line.startswith("error: ")]
    assert says in error
    assert "hint: " in ended.err
    assert "Traceback" not in ended.err
    assert not [secret for secret in (SECRET_KEY, WRONG) if secret in ended.err + ended.out]


def test_no_secret_is_in_a_log_a_file_or_a_list_of_processes(shore: Shore, vendor: Vendor) -> None:
    folders = (shore.settings.instance_dir, shore.home.folder)
    secrets = [secret.encode() for secret in (SECRET_KEY, WRONG, vendor.polaris.client("millrace").secret)]
    blobs = shore.settings.instance_dir / "run" / "tmp"
    # The serialized jobs are Flink's own (docs/storage.md): closed to others, and gone with the job.
    assert stat.S_IMODE(blobs.parent.stat().st_mode) == 0o700
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    files = [path for path in files if not path.is_relative_to(blobs) or "blobStore" not in str(path)]
    assert len(files) > 50
    assert [path for path in files if any(secret in path.read_bytes() for secret in secrets)] == []
    lines = [" ".join(process.info["cmdline"] or []) for process in psutil.process_iter(["cmdline"])]
    assert not [line for line in lines if SECRET_KEY in line]
