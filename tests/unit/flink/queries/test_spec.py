"""Definitions of queries: strict, and without secrets."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from orchestration.errors import ConfigError
from orchestration.flink.queries.spec import QuerySpec
from orchestration.flink.queries.spec_files import parse_spec
from orchestration.flink.tables.stored_options import FROM_STORE
from orchestration.redaction import remember_secrets

MINIMAL: dict[str, Any] = {"name": "orders", "query": "SELECT 1 AS a"}


def spec(**fields: Any) -> QuerySpec:
    return parse_spec(MINIMAL | fields)


def test_a_name_and_a_query_are_enough() -> None:
    found = spec()
    assert (found.mode, found.sink.profile, found.restart_policy.kind, found.upgrade_mode) == (
        "streaming",
        "auto",
        "never",
        "savepoint",
    )
    assert found.checkpoint_interval == timedelta(seconds=60)


def test_a_batch_query_makes_no_checkpoints() -> None:
    assert spec(mode="batch").checkpoint_interval is None
    with pytest.raises(ConfigError, match="checkpoint_interval: a batch job makes no checkpoints"):
        spec(mode="batch", checkpoint_interval="10 s")


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"nmae": "x"}, "nmae: there is no such field"),
        ({"query": ""}, "query: "),
        ({"query": " ;; "}, "query: the query is empty"),
        ({"name": ""}, "name: "),
        ({"name": "a" * 101}, "name: "),
        ({"name": "a\nb"}, "name: the name holds a control character"),
        ({"mode": "automatic"}, "mode: "),
        ({"parallelism": 0}, "parallelism: "),
        ({"checkpoint_interval": 10}, "checkpoint_interval: 10 is not a duration: write a number and a unit"),
        ({"checkpoint_interval": "0 s"}, "checkpoint_interval: it must be more than 0"),
        ({"sink": {"profil": "x"}}, "sink.profil: there is no such field"),
        ({"sink": {"options": {"topic": None}}}, "sink.options.topic: a value is missing"),
        ({"restart_policy": "sometimes"}, "restart_policy.kind: "),
        ({"restart_policy": {"kind": "on_failure", "max_per_hour": 0}}, "restart_policy.max_per_hour: "),
        ({"upgrade_mode": "blue_green"}, "upgrade_mode: "),
        ({"execution": {"pipeline.name": "x"}}, "execution: 'pipeline.name' cannot be set here: the name is derived"),
        ({"execution": {"parallelism.default": 2}}, "'parallelism.default' cannot be set here: use the field parallel"),
    ],
)
def test_a_wrong_field_is_named_with_what_to_write(fields: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        spec(**fields)
    assert problem in caught.value.message


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(ConfigError, match=r"the definition: mode: .*; parallelism: "):
        spec(mode="x", parallelism=-1)


@pytest.mark.parametrize(
    "fields",
    [
        {"sink": {"options": {"password": "hunter2hunter2"}}},
        {"sink": {"options": {"properties.sasl.jaas.config": "hunter2hunter2"}}},
        {"sink": {"options": {"url": "jdbc:postgresql://me:hunter2hunter2@db/x"}}},
        {"sink": {"options": {"url": "jdbc:postgresql://db/x?password=hunter2hunter2"}}},
        {"sink": {"ddl": "CREATE TABLE t (a INT) WITH ('connector' = 'jdbc', 'password' = 'hunter2hunter2')"}},
        {"execution": {"s3.secret-key": "hunter2hunter2"}},
        {"labels": {"api_key": "hunter2hunter2"}},
        {"inputs": ["CREATE TABLE t (a INT) WITH ('connector' = 'jdbc', 'password'='hunter2hunter2')"]},
        {"query": "SELECT a FROM t /*+ OPTIONS('password' = 'hunter2hunter2') */"},
    ],
)
def test_a_secret_is_refused_with_the_remedy_and_not_repeated(fields: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="must not be stored; write env:NAME or file:/path") as caught:
        spec(**fields)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "fields",
    [
        {"sink": {"options": {"password": "env:PG_PASSWORD", "properties.sasl.mechanism": "PLAIN"}}},
        {"sink": {"options": {"password": "file:/run/secrets/pg", "key.format": "json"}}},
        {"sink": {"options": {"properties.sasl.client.callback.handler.class": "a.B"}}},
        {"inputs": ["CREATE TABLE t (a INT) WITH ('connector' = 'jdbc', 'password' = 'env:PG_PASSWORD')"]},
        {"query": "SELECT password_changed_at AS p FROM users WHERE token <> 'x' AND kind = 'reset_password'"},
        {"query": "SELECT 'broken"},
    ],
)
def test_references_and_columns_are_no_secrets(fields: dict[str, Any]) -> None:
    spec(**fields)


def test_a_stored_definition_stays_readable_when_a_value_becomes_known_as_a_secret() -> None:
    stored = spec(sink={"options": {"topic": "plain-word-of-stored-test"}}).to_json()
    remember_secrets(["plain-word-of-stored-test"])
    with pytest.raises(ConfigError):
        parse_spec(stored)
    assert QuerySpec.model_validate(stored, context=FROM_STORE).sink.options == {"topic": "plain-word-of-stored-test"}


def test_options_become_text() -> None:
    assert spec(execution={"a": True, "b": 5, "c": 0.5}).execution == {"a": "true", "b": "5", "c": "0.5"}


def test_json_is_read_back_as_it_was() -> None:
    first = spec(
        state_ttl="1 h",
        restart_policy="on_failure",
        sink={"profile": "kafka", "key_columns": ["a"]},
        inputs=["CREATE TABLE t (a INT)"],
        labels={"owner": "ann"},
    )
    assert QuerySpec.model_validate(json.loads(json.dumps(first.to_json()))) == first


@pytest.mark.parametrize(
    ("fields", "is_same"),
    [
        ({"query": "SELECT 1 AS a ;"}, True),
        ({"description": "d", "labels": {"owner": "a"}, "restart_policy": "on_failure"}, True),
        ({"upgrade_mode": "stateless", "savepoint_dir": "file:/sp"}, True),
        ({"checkpoint_interval": "1 min"}, True),
        ({"query": "SELECT 2 AS a"}, False),
        ({"parallelism": 2}, False),
        ({"sink": {"options": {"topic": "t"}}}, False),
        ({"execution": {"a": 1}}, False),
        ({"state_ttl": "1 h"}, False),
    ],
)
def test_the_hash_changes_with_the_job_alone(fields: dict[str, Any], is_same: bool) -> None:
    assert (spec(**fields).spec_hash == spec().spec_hash) is is_same
