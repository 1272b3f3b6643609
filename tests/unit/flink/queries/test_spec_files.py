"""Definitions in SQL and YAML files."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestration.errors import ConfigError
from orchestration.flink.queries.spec_files import load_spec, load_specs, split_front_matter
from orchestration.flink.text.kinds import StatementKind, classify
from orchestration.flink.text.script import split_script

SQL = """-- ---
-- name: Orders per minute
-- description: >
--   two
--   lines
-- sink:
--   profile: kafka
--   options: {topic: 'a/*b*/c'}
-- ---
-- counts orders
SELECT window_start, COUNT(*) AS n
FROM orders;
"""


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_a_sql_file_holds_its_fields_in_comments(tmp_path: Path) -> None:
    spec = load_spec(write(tmp_path, "q.sql", SQL))
    assert spec.name == "Orders per minute"
    assert spec.description == "two lines"
    assert (spec.sink.profile, spec.sink.options) == ("kafka", {"topic": "a/*b*/c"})
    assert spec.query == "-- counts orders\nSELECT window_start, COUNT(*) AS n\nFROM orders"


def test_a_sql_file_with_front_matter_is_valid_sql() -> None:
    (statement,) = split_script(SQL)
    assert classify(statement.text) is StatementKind.QUERY


@pytest.mark.parametrize(("name", "text"), [("orders.sql", "SELECT 1 AS a"), ("orders.yml", "query: SELECT 1 AS a")])
def test_the_file_names_the_query_unless_it_says_otherwise(tmp_path: Path, name: str, text: str) -> None:
    spec = load_spec(write(tmp_path, name, text))
    assert (spec.name, spec.query) == ("orders", "SELECT 1 AS a")


@pytest.mark.parametrize(
    "text",
    [
        "-- ---\n-- mode: batch\n-- ---\nQ",
        "\n\n--  ---\n--mode: batch\n-- ---\nQ",
        "\ufeff-- ---\r\n-- mode: batch\r\n-- ---\r\nQ",
    ],
)
def test_blank_lines_spaces_and_line_ends_do_not_matter(text: str) -> None:
    assert split_front_matter(text) == ("mode: batch", "Q")


def test_a_comment_that_is_no_fence_belongs_to_the_query() -> None:
    assert split_front_matter("-- Purpose: x\nSELECT 1") == ("", "-- Purpose: x\nSELECT 1")


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("q.sql", "-- ---\n-- name: a\nSELECT 1", "q.sql: the front matter that begins in line 1 is not closed"),
        ("q.sql", "-- ---\n-- name: a\n", "is not closed"),
        ("q.sql", "-- ---\n-- query: SELECT 1\n-- ---\nSELECT 1", "q.sql: query: it stands below the front matter"),
        ("q.sql", "-- ---\n-- nmae: a\n-- ---\nSELECT 1", "q.sql: nmae: there is no such field"),
        ("q.sql", "-- ---\n-- a: [\n-- ---\nSELECT 1", "q.sql is not YAML: "),
        ("q.sql", "-- ---\n-- - a\n-- ---\nSELECT 1", "q.sql holds no fields but a list"),
        ("q.sql", "", "q.sql: query: "),
        ("q.yml", "name: a", "q.yml: query: it is missing"),
        ("q.yml", "query: 5", "q.yml: query: "),
        ("q.txt", "x", "q.txt is neither .sql nor .yml"),
    ],
)
def test_a_wrong_file_is_named_with_field_and_remedy(tmp_path: Path, name: str, text: str, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_spec(write(tmp_path, name, text))
    assert problem in caught.value.message
    assert caught.value.hint


def test_a_file_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"gone\.sql cannot be read: No such file"):
        load_spec(tmp_path / "gone.sql")
    path = tmp_path / "latin.sql"
    path.write_bytes(b"SELECT '\xff'")
    with pytest.raises(ConfigError, match="it is not UTF-8"):
        load_spec(path)


def test_a_folder_is_read_by_file_name_and_a_missing_one_is_empty(tmp_path: Path) -> None:
    write(tmp_path, "b.sql", "SELECT 1 AS a")
    write(tmp_path, "a.yaml", "query: SELECT 1 AS a")
    write(tmp_path, "README.md", "x")
    assert [spec.name for spec in load_specs(tmp_path)] == ["a", "b"]
    assert load_specs(tmp_path / "none") == []


def test_two_files_may_not_define_one_name(tmp_path: Path) -> None:
    write(tmp_path, "a.yml", "query: SELECT 1 AS a")
    write(tmp_path, "b.yml", "name: a\nquery: SELECT 1 AS a")
    with pytest.raises(ConfigError, match=r"a\.yml and .*b\.yml both define query 'a'"):
        load_specs(tmp_path)
