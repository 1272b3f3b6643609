"""Which engine runs, and the one that runs without Flink."""

from __future__ import annotations

from dataclasses import replace
from importlib.metadata import EntryPoint, EntryPoints

import pytest

from orchestration.errors import ConfigError, ConflictError, NotFoundError, SqlRefusedError
from orchestration.flink import provider
from orchestration.flink.client.models import JobOverview
from orchestration.flink.engine import SqlEngine
from orchestration.flink.fake_engine import Answer, FakeEngine
from orchestration.flink.look import look, strays, watch
from orchestration.flink.monitoring.health import Reading
from orchestration.flink.monitoring.rounds import Memory
from orchestration.flink.provider import FlinkBacked, open_stream_engine
from orchestration.flink.queries.names import parse_job_name
from orchestration.flink.queries.spec import QuerySpec
from orchestration.flink.queries.states import QueryState
from orchestration.flink.reading.feed import Limits
from orchestration.flink.reading.rows import Change, Column
from orchestration.settings import Settings
from tests.unit.flink.monitoring.test_health import NOW

SPEC = QuerySpec(name="Orders per minute", query="SELECT a, b FROM orders")
ROWS = tuple(Change("INSERT", (number,)) for number in range(3))
ANSWER = Answer((Column("n", "INT", is_nullable=True),), ROWS)


def open_foreign(settings: Settings) -> FakeEngine:
    """What a package of somebody else registers."""
    return FakeEngine(f"foreign-{settings.instance}")


def settings(name: str) -> Settings:
    return Settings(stream_engine_provider=name)


def test_flink_is_the_default_and_is_what_a_watcher_needs() -> None:
    with open_stream_engine(Settings()) as engine:
        assert isinstance(engine, SqlEngine)
        assert isinstance(engine, FlinkBacked)


def test_the_fake_is_chosen_by_its_name() -> None:
    engine = open_stream_engine(settings("fake"))
    assert isinstance(engine, FakeEngine)
    assert not isinstance(engine, FlinkBacked)


def test_another_packages_engine_is_found_by_its_entry_point(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = EntryPoint("other", f"{__name__}:open_foreign", provider.GROUP)
    monkeypatch.setattr(provider, "entry_points", lambda group: EntryPoints([entry] if group == entry.group else []))
    monkeypatch.setattr(EntryPoint, "load", lambda _: open_foreign)
    engine = open_stream_engine(settings("other"))
    assert isinstance(engine, FakeEngine)
    assert engine.namespace == "foreign-default"
    with pytest.raises(ConfigError, match="nobody provides") as caught:
        open_stream_engine(settings("ksql"))
    assert "known are flink, fake, other" in (caught.value.hint or "")


# --- the fake ---------------------------------------------------------------------------------------------------------


def test_an_ad_hoc_query_gives_the_rows_that_were_set() -> None:
    with FakeEngine(answers={"SELECT n FROM t": ANSWER}) as engine:
        with engine.execute("SELECT n FROM t") as changes:
            assert [column.name for column in changes.columns] == ["n"]
            assert changes.end is None
            assert list(changes) == list(ROWS)
        assert (changes.end and changes.end.reason, changes.end and changes.end.rows) == ("eos", 3)


def test_limits_and_cancel_end_it_as_they_end_a_real_one() -> None:
    engine = FakeEngine(answers={"SELECT 1": ANSWER})
    with engine.execute("SELECT 1", limits=Limits(max_rows=2)) as limited:
        assert len(list(limited)) == 2
    with engine.execute("SELECT 1") as left:
        assert next(iter(left)) == ROWS[0]
    ends = [(one.end.reason, one.end.rows) for one in (limited, left) if one.end is not None]
    assert ends == [("max_rows", 2), ("cancelled", 1)]


def test_sql_is_checked_by_the_rules_of_the_real_engine() -> None:
    engine = FakeEngine()
    with pytest.raises(SqlRefusedError) as caught:
        engine.execute("SELECT * FROM t EMIT CHANGES")
    assert caught.value.context["rule"] == "V03"
    with pytest.raises(SqlRefusedError):
        engine.deploy(QuerySpec(name="q", query="DROP TABLE t"))
    with pytest.raises(ConfigError):
        engine.execute("SELECT 1", properties={"rest.address": "elsewhere"})
    assert engine.list() == []


def test_the_same_definition_changes_nothing_and_another_one_needs_replace() -> None:
    engine = FakeEngine()
    first = engine.deploy(SPEC)
    again = engine.deploy(SPEC)
    assert (again.job_id, again.unchanged, first.unchanged) == (first.job_id, True, False)
    assert parse_job_name(first.job_name) is not None
    changed = SPEC.model_copy(update={"query": "SELECT a FROM orders"})
    with pytest.raises(ConflictError):
        engine.deploy(changed)
    replaced = engine.deploy(changed, replace=True)
    assert (replaced.query_id, replaced.generation) == (first.query_id, 2)
    assert replaced.job_id != first.job_id


def test_stop_and_delete_are_idempotent_and_know_all_four_references() -> None:
    engine = FakeEngine()
    made = engine.deploy(SPEC)
    outcomes = [
        (result.state, result.changed)
        for result in (
            engine.stop(made.job_name),
            engine.stop(made.job_id),
        )
    ]
    assert outcomes == [("SUSPENDED", True), ("SUSPENDED", False)]
    assert engine.deploy(SPEC).job_id != made.job_id
    assert engine.stop(made.name, "cancel").state == "STOPPED"
    assert [engine.delete(made.query_id).changed, engine.delete(made.query_id).changed] == [True, False]
    assert engine.list() == []
    with pytest.raises(NotFoundError, match="nope"):
        engine.stop("nope")


# --- a look at it -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "reasons"),
    [
        pytest.param(QueryState.RUNNING, [], id="runs"),
        pytest.param(QueryState.FAILED, ["deploy_failed"], id="failed, never started"),
        pytest.param(QueryState.LOST, ["job_lost"], id="lost"),
    ],
)
def test_a_look_judges_queries_of_any_engine(state: QueryState, reasons: list[str]) -> None:
    engine = FakeEngine()
    engine.deploy(SPEC)
    engine.set_state(SPEC.name, state)
    found = look(engine, Memory(), NOW)
    assert [[reason.code for reason in verdict.health.reasons] for verdict in found.verdicts] == [reasons]


@pytest.mark.parametrize("state", ["STOPPED", "SUSPENDED", "DEPLOYING", "STOPPING", "FINISHED"])
def test_what_should_not_run_or_is_being_worked_on_is_not_judged(state: str) -> None:
    engine = FakeEngine()
    engine.deploy(SPEC)
    engine.set_state(SPEC.name, QueryState(state))
    assert look(engine, Memory(), NOW).verdicts == ()


def test_a_query_that_somebody_else_canceled_is_down_although_it_should_run() -> None:
    engine = FakeEngine()
    engine.deploy(SPEC)
    [view] = engine.list()
    job = watch(replace(view, state=QueryState.STOPPED), NOW)
    assert job is not None
    assert (job.failure_code, job.failure) == ("job_canceled", "somebody canceled the job")
    assert watch(replace(view, state=QueryState.LOST), NOW) == replace(
        job, failure="", failure_code="job_failed", reading=Reading(NOW, "LOST")
    )


def test_strays_are_live_jobs_of_the_namespace_that_no_query_owns() -> None:
    def job(name: str, state: str = "RUNNING") -> JobOverview:
        return JobOverview(jid="a" * 32, name=name, state=state)

    jobs = [
        job("mine.orders.0a1b2c3d"),
        job("mine.gone.11111111"),
        job("mine.over.22222222", "FINISHED"),
        job("other.orders.33333333"),
        job("insert-into_default"),
    ]
    assert strays(jobs, "mine", {"0a1b2c3d"}) == ["mine.gone.11111111"]
