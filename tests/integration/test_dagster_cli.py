"""Dagster's own commands, `run` and `validate` as processes: exit codes, and one clear error if something is down."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestration.contracts.loader import DATASETS_DIR
from orchestration.errors import ContractError, JobFailedError
from orchestration.generator.sample import sample_expectation
from orchestration.settings import Settings
from tests.integration.home import Ended, Home, open_home
from tests.integration.lake import closed_port, expect

pytestmark = pytest.mark.stack

ROWS, DIRTY = 3000, 0.1
JOB = "lakehouse_batch"
LAUNCHES = [
    # Finds the definitions by orchestration/dagster_default.py, in an environment that ./millrace made.
    pytest.param(("dagster", "job", "execute", "-j", JOB), id="dagster"),
    pytest.param(("dg", "launch", "--job", JOB), id="dg"),
]


@pytest.fixture(scope="module")
def home(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """A home whose DATA_PATH holds a dirty month."""
    folder = tmp_path_factory.mktemp("dagster")
    data = folder / "data"
    with open_home(settings, folder, DATA_PATH=str(data), DLQ_MAX=str(ROWS)) as opened:
        opened.lake.sample("2024-01", ROWS, DIRTY).rename(make(data) / "trips_2024-01.parquet")
        yield opened


def make(folder: Path) -> Path:
    folder.mkdir()
    return folder


def down() -> dict[str, str]:
    """Return an environment in which nobody listens."""
    address = f"127.0.0.1:{closed_port()}"
    services = ("FLINK_REST_URL", "FLINK_SQL_GATEWAY_URL", "CATALOG_URI")
    return {"BROKER_URL": address, **dict.fromkeys(services, f"http://{address}")}


@pytest.mark.parametrize("command", LAUNCHES)
def test_the_batch_job_succeeds_and_a_second_one_adds_nothing(home: Home, command: tuple[str, ...]) -> None:
    ended = home.script(*command)
    assert ended.code == 0, ended.err
    assert home.lake.counts().as_dict() == expect(ROWS, DIRTY)
    assert home.lake.snapshots() == {"bronze": 1, "silver": 1, "rejected": 1}


@pytest.mark.parametrize("command", LAUNCHES)
def test_the_batch_job_fails_with_one_clear_error_when_services_are_down(home: Home, command: tuple[str, ...]) -> None:
    environ = down()
    ended = home.script(*command, **environ)
    assert ended.code != 0
    said = [line for line in (ended.out + ended.err).splitlines() if "landing__taxi failed: " in line]
    assert len(said) == 1
    assert f"the Kafka broker at {environ['BROKER_URL']} does not answer" in said[0]
    assert "./millrace up" in said[0]


def test_the_definitions_hold_together_without_any_service(home: Home) -> None:
    ended = home.script("dg", "check", "defs", **down())
    assert ended.code == 0, ended.err + ended.out


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("BROKER_URL", "Kafka broker"),
        ("FLINK_REST_URL", "Flink JobManager"),
        ("FLINK_SQL_GATEWAY_URL", "Flink SQL Gateway"),
        ("CATALOG_URI", "Iceberg catalog"),
    ],
)
def test_run_names_the_service_that_is_down(home: Home, name: str, title: str) -> None:
    address = f"127.0.0.1:{closed_port()}"
    ended = home.millrace("run", **{name: address if name == "BROKER_URL" else f"http://{address}"})
    assert ended.code == 5
    error, hint = ended.err.splitlines()
    assert error.startswith(f"error: the {title} at {address} does not answer")
    assert hint.startswith("hint: start the stack with `./millrace up`")


@pytest.fixture(scope="module")
def filled(home: Home) -> Home:
    """The home with every layer built, by `millrace run`."""
    ended = home.millrace("run")
    assert ended.code == 0, ended.err
    return home


def failed_checks(ended: Ended) -> dict[str, dict[str, str]]:
    """Return the failed results of `validate --json` by name."""
    return {result["name"]: result for result in json.loads(ended.out)["results"] if not result["passed"]}


def test_validate_passes_after_a_run(filled: Home) -> None:
    ended = filled.millrace("validate", "--json")
    assert (ended.code, failed_checks(ended)) == (0, {})


def test_validate_names_the_table_that_lost_a_data_file(filled: Home) -> None:
    bronze = filled.settings.instance_dir / "warehouse" / "bronze" / "raw_trips" / "data"
    lost = min(bronze.glob("**/*.parquet"))
    aside = lost.rename(filled.folder / lost.name)
    try:
        ended = filled.millrace("validate", "--json", "--stage", "data")
    finally:
        aside.rename(lost)
    assert ended.code == 1
    failed = failed_checks(ended)
    assert "bronze.raw_trips: 1 of " in failed["bronze data files"]["message"]
    assert lost.name in failed["bronze data files"]["message"]
    assert "restore the files" in failed["bronze data files"]["hint"]
    assert "bronze.raw_trips cannot be read" in failed["every row can be read"]["message"]
    assert filled.millrace("validate", "--json", "--stage", "data").code == 0


def with_rule(folder: Path, predicate: str) -> str:
    """Write the taxi contract with one more rule, the first one, and return its DATASETS_DIR."""
    text = (DATASETS_DIR / "taxi" / "dataset.yml").read_text(encoding="utf-8")
    rule = f'quality_rules:\n  - {{name: broken, predicate: "{predicate}"}}\n'
    (folder / "taxi").mkdir(parents=True)
    (folder / "taxi" / "dataset.yml").write_text(text.replace("quality_rules:\n", rule), encoding="utf-8")
    return str(folder)


def error_of(ended: Ended) -> str:
    """Return the one line that says what failed."""
    assert "Traceback" not in ended.err
    [error] = [line for line in ended.err.splitlines() if line.startswith("error: ")]
    return error


def test_a_flink_job_that_fails_ends_run_with_its_root_cause_and_changes_nothing(filled: Home) -> None:
    before = filled.lake.content()
    # A division by zero is an error for Flink and NULL for DuckDB, which counts with the same rule before.
    datasets_dir = with_rule(filled.folder / "dividing", "10 / (VendorID - 2) > -100")
    ended = filled.millrace("run", DATASETS_DIR=datasets_dir)
    assert ended.code == JobFailedError.exit_code, ended.err
    error = error_of(ended)
    assert error.startswith("error: silver: Flink job millrace.silver.taxi")
    assert "/ by zero" in error
    assert filled.lake.content() == before
    assert filled.lake.rejected_by() == dict(sample_expectation(ROWS, DIRTY).rejected_by)
    assert filled.millrace("run").code == 0
    assert filled.lake.counts().as_dict() == expect(ROWS, DIRTY)


def test_a_rule_that_cannot_be_evaluated_is_named_as_such(filled: Home) -> None:
    datasets_dir = with_rule(filled.folder / "casting", "CAST(store_and_fwd_flag AS INT) >= 0")
    ended = filled.millrace("run", DATASETS_DIR=datasets_dir)
    assert ended.code == ContractError.exit_code, ended.err
    assert "a quality rule cannot be evaluated on bronze.raw_trips: Conversion Error" in error_of(ended)
