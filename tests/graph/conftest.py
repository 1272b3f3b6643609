"""A code location over the tiny dataset, whose outside systems are fakes that write down who called them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from orchestration.broker.offsets import LogRange
from orchestration.contracts import DatasetContract
from orchestration.dbt_plugin.runner import DbtNode, DbtRun
from orchestration.defs.assets import build_assets
from orchestration.defs.assets.gold import build_source_checks
from orchestration.defs.checks import build_checks
from orchestration.defs.dbt_nodes import DbtAsset, DbtCheck, DbtProject
from orchestration.defs.jobs import JOBS
from orchestration.defs.resources import ENGINE_KEY, KEY, MillraceSettings, SqlEngineResource
from orchestration.defs.schedules import SCHEDULES
from orchestration.flink.jobs.submit import JobResult
from orchestration.generator.results import LandingResult
from orchestration.lakehouse.bronze import BronzeResult
from orchestration.lakehouse.counts import Counts
from orchestration.lakehouse.facts import KeyCounts, NullCounts
from orchestration.lakehouse.silver import SilverResult
from orchestration.settings import Settings
from tests.unit.tiny import tiny_contract

JOB = JobResult(
    job_id="a" * 32,
    name="millrace.bronze.rides",
    state="FINISHED",
    started_at=None,
    duration_s=1.5,
    adopted=False,
    vertices=(),
    url="http://flink/#/job/running/aaaa/overview",
)

PROJECT = DbtProject(
    assets=(
        DbtAsset("model.p.stg_rides", "stg_rides", "model", ("staging", "stg_rides"), (("silver", "rides"),)),
        DbtAsset(
            "model.p.fct_rides",
            "fct_rides",
            "model",
            ("marts", "fct_rides"),
            (("staging", "stg_rides"),),
            materialized="table",
        ),
    ),
    checks=(
        DbtCheck("test.p.not_empty.1", "not_empty_rides", ("silver", "rides")),
        DbtCheck("test.p.unique.2", "unique_fct_rides", ("marts", "fct_rides")),
    ),
    sources={"source.p.silver.rides": ("silver", "rides")},
)


def dbt_node(unique_id: str, status: str, **changes: Any) -> DbtNode:
    """Return a node's outcome."""
    return replace(DbtNode(unique_id, unique_id.split(".")[0], status, 0.25), **changes)


BRONZE = BronzeResult("bronze.raw_rides", 90, 90, 4, {0: LogRange(0, 94)}, 7, (JOB,))
SILVER = SilverResult(
    "refresh", "1 new bronze snapshots", 80, 80, 6, 6, 90, 7, 8, 9, rejected_by={"fare_negative": 6}, jobs=(JOB,)
)
COUNTS = Counts(produced=94, dead_lettered=4, bronze=90, silver=80, duplicates=4, rejected=6)
NULLS = NullCounts(90, {"start": 0})
KEYS = KeyCounts(80, 80)
SOURCE_GREEN = (dbt_node("test.p.not_empty.1", "pass", failures=0),)
DBT_GREEN = (
    dbt_node("model.p.stg_rides", "success"),
    dbt_node("model.p.fct_rides", "success"),
    dbt_node("test.p.unique.2", "pass", failures=0),
)


@dataclass
class Outside:
    """What the outside systems answer, and what they were asked, in order.

    A value of `fails` is raised instead of the answer, each of a list once.
    """

    asked: list[tuple[Any, ...]] = field(default_factory=list)
    fails: dict[str, list[BaseException]] = field(default_factory=dict)
    landing: Callable[[str | None], list[LandingResult]] = lambda source: [landed(source or "data")]
    bronze: BronzeResult = BRONZE
    silver: SilverResult = SILVER
    counts: Counts = COUNTS
    nulls: NullCounts = NULLS
    keys: KeyCounts = KEYS
    reported: int = 4
    restarts: int = 0
    waiting: int = 0
    source_tests: tuple[DbtNode, ...] = SOURCE_GREEN
    dbt: tuple[DbtNode, ...] = DBT_GREEN

    def answer(self, name: str, value: Any, *what: Any) -> Any:
        """Write the question down, and fail or answer."""
        self.asked.append((name, *what))
        if self.fails.get(name):
            raise self.fails[name].pop(0)
        return value

    def names(self) -> list[str]:
        """Return who was asked, in order."""
        return [one[0] for one in self.asked]


def landed(path: str, **changes: Any) -> LandingResult:
    """Return the result of a file that landed."""
    from orchestration.generator.sources import month_of

    result = LandingResult(
        path, "ab", month_of(path), "landed", 98, 94, 4, 94, 4, 0.5, size_bytes=1000, offsets={0: (0, 94)}
    )
    return replace(result, **changes)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings of an instance in a folder of its own, with dead letters allowed."""
    return Settings(state_dir=tmp_path, dataset="rides", data_path=str(tmp_path / "data"), dlq_max=10)


@pytest.fixture
def contract() -> DatasetContract:
    """The tiny dataset."""
    return tiny_contract()


@pytest.fixture
def outside(monkeypatch: pytest.MonkeyPatch, settings: Settings, contract: DatasetContract) -> Outside:
    """Fakes in place of everything that the assets call."""
    fake = Outside()

    def land(_: Settings, used: DatasetContract, source: str | None = None, **options: Any) -> list[LandingResult]:
        return fake.answer("land", fake.landing(source), source, options["again"])

    def run_dbt(_: Settings, args: list[str], *, on_node: Callable[[DbtNode], None] | None = None) -> DbtRun:
        command = args[0]
        fake.answer("dbt" if command == "build" else "dbt test", None, *args)
        nodes = fake.dbt if command == "build" else fake.source_tests
        for node in nodes:
            if on_node is not None:
                on_node(node)
        return DbtRun(command, not any(node.is_failed for node in nodes), 1.0, nodes)

    def refresh(_: Settings, __: DatasetContract, *, full_refresh: bool, say: Callable[[str], None]) -> SilverResult:
        return fake.answer("silver", fake.silver, full_refresh)

    fakes: Mapping[str, Any] = {
        "orchestration.defs.resources.load_settings": lambda *_: settings,
        "orchestration.contracts.resolve.active_contract": lambda _: contract,
        "orchestration.generator.land.land": land,
        "orchestration.lakehouse.bronze.load_bronze_table": lambda *_: fake.answer("bronze", fake.bronze),
        "orchestration.lakehouse.silver.refresh_silver_table": refresh,
        "orchestration.dbt_plugin.runner.run_dbt": run_dbt,
        "orchestration.lakehouse.counts.count_layers": lambda *_: fake.answer("count", fake.counts),
        "orchestration.lakehouse.counts.count_produced": lambda *_: fake.answer(
            "count", (fake.counts.produced, fake.counts.dead_lettered)
        ),
        "orchestration.lakehouse.facts.count_reported": lambda *_: fake.reported,
        "orchestration.lakehouse.facts.count_nulls": lambda *_: fake.nulls,
        "orchestration.lakehouse.facts.count_keys": lambda *_: fake.keys,
        "orchestration.lakehouse.facts.count_waiting": lambda *_: fake.waiting,
        "orchestration.lakehouse.facts.count_unrefined": lambda *_: 0,
        "orchestration.defs.assets.bronze.count_restarts": lambda *_: fake.restarts,
        "orchestration.defs.assets.silver.count_restarts": lambda *_: fake.restarts,
        # No test waits for a retry.
        "orchestration.defs.failure.RETRIES": dg.RetryPolicy(max_retries=2, delay=0),
    }
    for target, value in fakes.items():
        monkeypatch.setattr(target, value)
    return fake


@pytest.fixture
def location(contract: DatasetContract) -> dg.Definitions:
    """The code location of the tiny dataset and two models."""
    return dg.Definitions(
        assets=build_assets([contract], PROJECT),
        asset_checks=[*build_checks(contract), *build_source_checks(PROJECT)],
        jobs=JOBS,
        schedules=SCHEDULES,
        resources={KEY: MillraceSettings(), ENGINE_KEY: SqlEngineResource()},
    )


Run = Callable[..., dg.ExecuteInProcessResult]


@pytest.fixture
def run(location: dg.Definitions, outside: Outside) -> Iterator[Run]:
    """Run a job in this process: `run("lakehouse_batch", partition_key=…, run_config=…)`."""
    with dg.DagsterInstance.ephemeral() as instance:

        def execute(job: str = "lakehouse_batch", **options: Any) -> dg.ExecuteInProcessResult:
            with warnings.catch_warnings():
                # Dagster's own selection of assets uses a parameter that it calls beta.
                warnings.simplefilter("ignore", dg.BetaWarning)
                return location.resolve_job_def(job).execute_in_process(
                    instance=instance, raise_on_error=False, **options
                )

        yield execute


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    """DATA_PATH with empty files of two months; fakes never open them."""
    folder = tmp_path / "data"
    folder.mkdir()
    for name in ("rides_2024-01.parquet", "rides_2024-02_a.parquet", "rides_2024-02_b.parquet"):
        (folder / name).touch()
    return folder
