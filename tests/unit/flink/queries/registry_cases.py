"""What a registry must do on every database: SQLite in test_registry.py, PostgreSQL in the integration tests."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from orchestration.errors import ConflictError, InputError, NotFoundError
from orchestration.flink.queries.names import fixed_job_id
from orchestration.flink.queries.record import QueryRecord
from orchestration.flink.queries.registry import Registry
from orchestration.flink.queries.spec import QuerySpec
from orchestration.flink.queries.states import Desired, QueryState

START = datetime(2026, 5, 1, 12, tzinfo=UTC)


@dataclass
class Clock:
    """Time that stands still."""

    now: datetime = field(default=START)

    def __call__(self) -> datetime:
        return self.now


OpenRegistry = Callable[..., Registry]
"""Opens the same database each time; keywords go to Registry."""


def spec(name: str = "orders", **fields: Any) -> QuerySpec:
    return QuerySpec(name=name, query="SELECT 1 AS a", **fields)


def insert(registry: Registry, name: str = "orders", **fields: Any) -> QueryRecord:
    return registry.insert(registry.new_record(spec(name, **fields)))


class RegistryCases:
    """Needs the fixture `open_registry`."""

    def test_a_stored_query_is_read_back_whole(self, open_registry: OpenRegistry) -> None:
        registry = open_registry()
        first = insert(registry, state_ttl="1 h", sink={"options": {"topic": "t"}}, labels={"owner": "ann"})
        stored = registry.update(
            first,
            event="planned",
            state=QueryState.RUNNING,
            sinks=("default_catalog.default_database.view_orders_1",),
            own_sinks=("default_catalog.default_database.view_orders_1",),
            connector="kafka",
            topic="t",
            ddl="CREATE TABLE t (a INT)",
            changelog=("I", "UA"),
            key_columns=("a",),
            restarts=(START,),
            started_at=START,
        )
        assert open_registry().get("orders") == stored
        assert stored.owner == "ann"
        assert stored.job_id == fixed_job_id(stored.id, 1, 1)
        assert stored.job_name == f"test.orders.{stored.id}"
        assert (first.version, stored.version) == (1, 2)

    def test_a_query_is_found_by_id_name_job_id_and_job_name(self, open_registry: OpenRegistry) -> None:
        registry = open_registry()
        stored = insert(registry)
        insert(registry, "other")
        assert stored.job_id
        refs = (stored.id, "orders", stored.job_id, stored.job_name)
        assert {ref: registry.get(ref) for ref in refs} == dict.fromkeys(refs, stored)
        assert registry.get("nothing") is None

    def test_an_unknown_query_is_an_error_that_lists_the_known_ones(self, open_registry: OpenRegistry) -> None:
        registry = open_registry()
        insert(registry)
        with pytest.raises(NotFoundError, match="no persistent query has the name or id 'nothing'") as caught:
            registry.require("nothing")
        assert caught.value.hint == "queries of namespace test: orders"

    def test_another_namespace_sees_nothing(self, open_registry: OpenRegistry) -> None:
        stored = insert(open_registry())
        other = open_registry(namespace="other")
        assert other.get(stored.id) is None
        assert insert(other).name == "orders"

    def test_a_name_is_given_once(self, open_registry: OpenRegistry) -> None:
        registry = open_registry()
        first = insert(registry)
        with pytest.raises(ConflictError, match=rf"there is a query 'orders' already \({first.id}, DEPLOYING\)"):
            insert(registry)
        assert [record.id for record in registry.all()] == [first.id]

    def test_the_name_of_a_deleted_query_is_free(self, open_registry: OpenRegistry) -> None:
        registry = open_registry()
        first = insert(registry)
        gone = registry.update(first, event="deleted", state=QueryState.DELETED, desired=Desired.DELETED)
        assert registry.active() == []
        assert registry.get("orders") is None
        assert registry.get("orders", include_deleted=True) == gone
        second = insert(registry)
        assert registry.get("orders", include_deleted=True) == second
        assert registry.get(first.id, include_deleted=True) == gone
        assert len(registry.all()) == 2

    def test_of_two_changes_of_one_version_the_second_is_refused(self, open_registry: OpenRegistry) -> None:
        registry = open_registry()
        read = insert(registry)
        first = registry.update(read, event="a", state=QueryState.RUNNING)
        with pytest.raises(ConflictError, match="was changed by somebody else; nothing was written by this b"):
            open_registry().update(read, event="b", state=QueryState.FAILED)
        assert registry.get("orders") == first
        assert [event.event for event in registry.events(read.id)] == ["deploy", "a"]

    def test_of_many_threads_one_wins(self, open_registry: OpenRegistry) -> None:
        read = insert(open_registry())

        def change(number: int) -> bool:
            try:
                open_registry().update(read, event=str(number), state=QueryState.RUNNING)
            except ConflictError:
                return False
            return True

        with ThreadPoolExecutor(8) as pool:
            assert sum(pool.map(change, range(8))) == 1

    def test_queries_that_are_deployed_at_the_same_time_have_job_ids_of_their_own(
        self, open_registry: OpenRegistry
    ) -> None:
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda number: insert(open_registry(), f"query {number}"), range(20)))
        records = open_registry().all()
        assert len({record.job_id for record in records}) == len(records) == 20
        assert {fixed_job_id(record.id, 1, 1) for record in records} == {record.job_id for record in records}

    def test_of_two_processes_that_deploy_one_name_one_wins(self, open_registry: OpenRegistry, url: str) -> None:
        """The database is new for both: they also make its tables at the same time."""
        program = (
            "import sys\n"
            "from orchestration.errors import ConflictError\n"
            "from orchestration.flink.queries.registry import Registry\n"
            "from orchestration.flink.queries.spec import QuerySpec\n"
            "registry = Registry(sys.argv[1], 'test')\n"
            "record = registry.new_record(QuerySpec(name='orders', query='SELECT 1 AS a'))\n"
            "sys.stdin.readline()\n"
            "try:\n"
            "    registry.insert(record)\n"
            "    print('won')\n"
            "except ConflictError:\n"
            "    print('lost')\n"
        )
        command = [sys.executable, "-c", program, url]
        both = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)]
        for process in both:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        assert sorted(process.communicate(timeout=60)[0] for process in both) == ["lost\n", "won\n"]
        assert len(open_registry().all()) == 1

    def test_each_change_is_an_event_with_who_what_before_and_after(self, open_registry: OpenRegistry) -> None:
        clock = Clock()
        registry = open_registry(clock=clock, who="ann@here")
        stored = insert(registry)
        clock.now += timedelta(seconds=5)
        registry.update(
            stored, event="failed", who="bob@there", state=QueryState.FAILED, error_code="no_slots", error_text="none"
        )
        first, second = registry.events(stored.id)
        assert (first.event, first.who, first.at, first.before) == ("deploy", "ann@here", START, {})
        assert first.after["state"] == "DEPLOYING"
        assert (second.event, second.who, second.at) == ("failed", "bob@there", START + timedelta(seconds=5))
        assert second.before == {"state": "DEPLOYING", "error_code": None, "error_text": None, "stopped_at": None}
        assert second.after == {
            "state": "FAILED",
            "error_code": "no_slots",
            "error_text": "none",
            "stopped_at": "2026-05-01T12:00:05Z",
        }
        assert second.error == "none"

    def test_times_are_aware_utc(self, open_registry: OpenRegistry) -> None:
        here = datetime(2026, 5, 1, 14, tzinfo=timezone(timedelta(hours=2)))
        stored = open_registry(clock=Clock(here)).insert(open_registry().new_record(spec()))
        read = open_registry().require(stored.id)
        assert read.created_at == here
        assert read.created_at.utcoffset() == timedelta(0)

    def test_the_busy_states_hold_a_query_and_the_others_let_it_go(self, open_registry: OpenRegistry) -> None:
        registry = open_registry(clock=Clock(), lease_s=60)
        stored = insert(registry)
        assert (stored.holder is not None, stored.held_until) == (True, START + timedelta(seconds=60))
        running = registry.update(stored, event="running", state=QueryState.RUNNING)
        assert (running.holder, running.held_until) == (None, None)
        stopping = registry.update(running, event="stop", state=QueryState.STOPPING, stop_mode="cancel")
        assert stopping.holder == stored.holder
        released = registry.release(stopping, event="failed")
        assert (released.state, released.holder) == (QueryState.STOPPING, None)
        assert registry.claim(released, event="mine").holder == stored.holder

    def test_what_a_stop_left_is_cleared_by_the_next_start(self, open_registry: OpenRegistry) -> None:
        registry = open_registry()
        stored = insert(registry)
        stored = registry.update(
            stored, event="s", state=QueryState.STOPPING, stop_mode="savepoint", savepoint_request="r"
        )
        stored = registry.update(stored, event="s", state=QueryState.SUSPENDED, savepoint_path="file:/sp")
        assert (stored.stop_mode, stored.savepoint_request) == ("savepoint", None)
        assert stored.stopped_at is not None
        stored = registry.update(stored, event="restart", state=QueryState.DEPLOYING, attempt=2)
        assert (stored.stop_mode, stored.stopped_at, stored.savepoint_path) == (None, None, "file:/sp")

    def test_the_record_of_an_earlier_generation_is_kept(self, open_registry: OpenRegistry) -> None:
        registry = open_registry()
        first = registry.update(insert(registry), event="running", state=QueryState.RUNNING)
        second = registry.update(
            first, event="upgrade", state=QueryState.DEPLOYING, generation=2, spec=spec(parallelism=2)
        )
        assert registry.generations(first.id) == [first]
        assert (first.has_run, second.has_run) == (True, False)

    def test_a_noted_checkpoint_does_not_get_in_the_way(self, open_registry: OpenRegistry) -> None:
        registry = open_registry()
        read = registry.update(insert(registry), event="running", state=QueryState.RUNNING)
        registry.note_checkpoint(read, "file:/chk-1")
        changed = registry.update(read, event="x", state=QueryState.DEGRADED)
        assert registry.require(read.id).checkpoint_path == "file:/chk-1"
        assert changed.version == read.version + 1

    def test_the_checkpoint_of_an_earlier_job_is_not_noted(self, open_registry: OpenRegistry) -> None:
        registry = open_registry()
        read = insert(registry)
        registry.update(read, event="restart", state=QueryState.DEPLOYING, attempt=2, job_id="f" * 32)
        registry.note_checkpoint(read, "file:/chk-1")
        assert registry.require(read.id).checkpoint_path is None

    def test_a_new_savepoint_takes_the_place_of_an_older_checkpoint(self, open_registry: OpenRegistry) -> None:
        registry = open_registry()
        read = registry.update(insert(registry), event="running", state=QueryState.RUNNING)
        registry.note_checkpoint(read, "file:/chk-1")
        registry.update(read, event="savepoint", savepoint_path="file:/sp")
        stored = registry.require(read.id)
        assert (stored.savepoint_path, stored.checkpoint_path) == ("file:/sp", None)

    def test_secrets_are_masked_in_what_is_stored(self, open_registry: OpenRegistry) -> None:
        registry = open_registry()
        stored = registry.update(
            insert(registry),
            event="failed",
            state=QueryState.FAILED,
            ddl="CREATE TABLE t (a INT) WITH ('password' = 'hunter2')",
            error_text="login with password=hunter2 refused",
        )
        assert "hunter2" not in repr(registry.require(stored.id)) + repr(registry.events(stored.id))

    @pytest.mark.parametrize("change", ["version", "name", "id", "holder"])
    def test_what_the_registry_keeps_itself_is_not_changed_by_others(
        self, open_registry: OpenRegistry, change: str
    ) -> None:
        registry = open_registry()
        with pytest.raises(InputError, match=f"{change} of a query is not changed"):
            registry.update(insert(registry), event="x", **{change: "x"})

    def test_queries_deleted_long_ago_are_forgotten_with_their_events(self, open_registry: OpenRegistry) -> None:
        clock = Clock()
        registry = open_registry(clock=clock)
        old, new, alive = (insert(registry, name) for name in ("old", "new", "alive"))
        registry.update(old, event="deleted", state=QueryState.DELETED)
        clock.now += timedelta(days=31)
        registry.update(new, event="deleted", state=QueryState.DELETED)
        assert registry.forget_deleted(clock.now - timedelta(days=30)) == 1
        assert [record.name for record in registry.all()] == ["alive", "new"]
        assert registry.events(old.id) == []
        assert registry.events(alive.id)
