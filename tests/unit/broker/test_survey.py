"""A survey of a broker that is not there: few requests, bounded, and whatever a part of it refuses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from orchestration.broker import survey as module
from orchestration.broker.offsets import LogRange
from orchestration.broker.read import Record
from orchestration.broker.survey import GroupLag, age_of_lag, survey
from orchestration.errors import OffsetGapError
from orchestration.settings import Settings

SETTINGS = Settings()
NOW = datetime(2024, 1, 5, 12, tzinfo=UTC)


def future(value: object) -> Future[Any]:
    made: Future[Any] = Future()
    if isinstance(value, Exception):
        made.set_exception(value)
    else:
        made.set_result(value)
    return made


REFUSED = KafkaException(KafkaError(KafkaError.NOT_LEADER_FOR_PARTITION))


@dataclass
class Admin:
    """Topics with their ends (an exception: no leader), groups with what they committed."""

    topics: Mapping[str, Sequence[int | Exception]]
    groups: Mapping[str, Mapping[tuple[str, int], int] | Exception] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)

    def list_topics(self, **_: Any) -> Any:
        self.calls.append("topics")
        return SimpleNamespace(
            topics={
                name: SimpleNamespace(partitions=dict.fromkeys(range(len(ends)))) for name, ends in self.topics.items()
            }
        )

    def list_consumer_groups(self, **_: Any) -> Future[Any]:
        self.calls.append("groups")
        return future(SimpleNamespace(valid=[SimpleNamespace(group_id=name) for name in self.groups]))

    def list_offsets(self, wanted: Mapping[TopicPartition, Any], **_: Any) -> dict[TopicPartition, Future[Any]]:
        self.calls.append("offsets")
        found: dict[TopicPartition, Future[Any]] = {}
        for place, spec in wanted.items():
            end = self.topics[place.topic][place.partition]
            is_start = type(spec).__name__.startswith("Earliest")
            found[place] = future(end if isinstance(end, Exception) else SimpleNamespace(offset=0 if is_start else end))
        return found

    def list_consumer_group_offsets(self, wanted: Sequence[Any], **_: Any) -> dict[str, Future[Any]]:
        [one] = wanted
        self.calls.append(f"group {one.group_id}")
        known = self.groups.get(one.group_id, {})
        if isinstance(known, Exception):
            return {one.group_id: future(known)}
        places = [TopicPartition(topic, partition, offset) for (topic, partition), offset in known.items()]
        return {one.group_id: future(SimpleNamespace(topic_partitions=places))}


@pytest.fixture
def look(monkeypatch: pytest.MonkeyPatch):
    def survey_of(admin: Admin, topics: Sequence[str] = (), groups: Sequence[str] = ()) -> module.Survey:
        monkeypatch.setattr(module, "open_admin", lambda _: admin)
        return survey(SETTINGS, topics, groups)

    return survey_of


def test_all_topics_are_asked_for_in_two_requests(look: Any) -> None:
    admin = Admin({"b": [5, 7], "a": [1], "__consumer_offsets": [9]})
    found = look(admin)
    assert found.logs == {("a", 0): LogRange(0, 1), ("b", 0): LogRange(0, 5), ("b", 1): LogRange(0, 7)}
    assert admin.calls == ["topics", "groups", "offsets", "offsets"]


def test_lag_is_what_lies_behind_the_committed_offset(look: Any) -> None:
    admin = Admin({"t": [10, 10, 10]}, {"g": {("t", 0): 4, ("t", 1): 10, ("t", 2): -1001, ("gone", 0): 3}})
    assert look(admin).lags == (GroupLag("g", "t", 0, 4, 10), GroupLag("g", "t", 1, 10, 10))
    assert [one.lag_records for one in look(admin).lags] == [6, 0]


def test_a_partition_without_leader_and_a_group_that_is_refused_are_left_out(look: Any) -> None:
    admin = Admin({"t": [10, REFUSED]}, {"bad": REFUSED, "good": {("t", 0): 9, ("t", 1): 1}})
    found = look(admin)
    assert found.logs == {("t", 0): LogRange(0, 10)}
    assert found.lags == (GroupLag("good", "t", 0, 9, 10),)


def test_the_wanted_ones_are_shown_whatever_the_bound(look: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_TOPICS", 2)
    monkeypatch.setattr(module, "MAX_GROUPS", 1)
    admin = Admin({"a": [1], "b": [1], "z": [1]}, {"a": {("a", 0): 0}, "z": {("z", 0): 0}})
    found = look(admin, topics=["z", "not there yet"], groups=["z"])
    assert {topic for topic, _ in found.logs} == {"z"}
    assert [one.group for one in found.lags] == ["z"]
    assert found.left_out == 2


def test_an_empty_broker_has_nothing(look: Any) -> None:
    assert look(Admin({})) == module.Survey({}, (), 0)


def test_the_age_of_a_lag_is_that_of_its_oldest_record(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def read(_: Settings, topic: str, ranges: Mapping[int, tuple[int, int]], **__: Any) -> Any:
        asked.append((topic, dict(ranges)))
        if topic == "expired":
            raise OffsetGapError("gone")
        yield [
            Record(partition, start, int(NOW.timestamp() * 1000) - 5000, None, None, {})
            for partition, (start, _) in ranges.items()
        ]

    monkeypatch.setattr(module, "read_records", read)
    done, late, gone = GroupLag("g", "t", 0, 9, 9), GroupLag("g", "t", 1, 4, 10), GroupLag("g", "expired", 0, 1, 3)
    assert age_of_lag(SETTINGS, [done, late, gone], NOW) == {done: 0.0, late: 5.0}
    assert asked == [("t", {1: (4, 5)}), ("expired", {0: (1, 2)})]
