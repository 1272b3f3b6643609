"""Names and ids of queries: safe, stable, and readable back from a job."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestration.flink.queries.names import (
    JobName,
    find_submission,
    fixed_job_id,
    job_name,
    new_query_id,
    parse_job_name,
    safe_name,
    sink_table_name,
)


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("orders", "orders"),
        ("Orders per Minute", "orders_per_minute"),
        ("__a--b__", "a_b"),
        ("2024 sales", "q_2024_sales"),
        ("Ünïcode", "n_code"),
        ("***", "query"),
        ("日本", "query"),
        ("a" * 60, "a" * 48),
        ("a" * 47 + "_b", "a" * 47),
        ("9" * 60, "q_" + "9" * 46),
    ],
)
def test_a_safe_name_keeps_what_it_can(name: str, safe: str) -> None:
    assert safe_name(name) == safe


@given(st.text(min_size=1, max_size=100))
def test_every_name_makes_a_job_name_that_can_be_read_back(name: str) -> None:
    query_id = new_query_id()
    assert re.fullmatch(r"[a-z_][a-z0-9_]{0,47}", safe_name(name))
    assert parse_job_name(job_name("my-team", name, query_id)) == JobName("my-team", safe_name(name), query_id)


@pytest.mark.parametrize(
    "text",
    [
        "millrace.silver.taxi",
        "insert-into_default_catalog.default_database.t",
        "default.orders.1234567",
        "default.orders.123456789",
        "default.Orders.12345678",
        "default.orders.1234567G",
        "a.default.orders.12345678",
        "",
    ],
)
def test_the_name_of_another_job_is_not_taken_for_ours(text: str) -> None:
    assert parse_job_name(text) is None


def test_the_sink_table_is_the_same_for_each_deploy_of_a_query() -> None:
    assert sink_table_name("Orders", "abc12345") == "view_orders_abc123"


def test_a_job_id_is_fixed_by_query_generation_and_attempt() -> None:
    ids = {fixed_job_id(query, generation, attempt) for query in "ab" for generation in (1, 2) for attempt in (1, 2)}
    assert len(ids) == 8
    assert all(re.fullmatch(r"[0-9a-f]{32}", job_id) for job_id in ids)
    assert fixed_job_id("a", 1, 1) in ids


def test_a_job_id_tells_its_generation_and_attempt() -> None:
    assert find_submission("abc12345", fixed_job_id("abc12345", 3, 7)) == (3, 7)
    assert find_submission("abc12345", "0" * 32) is None
