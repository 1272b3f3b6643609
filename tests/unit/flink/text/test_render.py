"""Templates render strictly, and a value is never read as a template."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestration.errors import TemplateError
from orchestration.flink.text.render import render, write_rendered
from orchestration.redaction import MASK


def template(folder: Path, text: str, name: str = "silver/table.sql") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return folder


def test_variables_are_filled_and_comment_lines_and_the_last_semicolon_go(tmp_path: Path) -> None:
    text = "-- Purpose: show it.\n  -- Variables: A, B\nSELECT ${A} -- kept\nFROM ${B};\n"
    folder = template(tmp_path, text)
    assert render("silver/table.sql", {"A": "1", "B": "t"}, folder) == "SELECT 1 -- kept\nFROM t"


def test_an_unknown_variable_is_named_with_file_and_line(tmp_path: Path) -> None:
    folder = template(tmp_path, "SELECT ${A}\nFROM ${B}\n")
    with pytest.raises(TemplateError) as error:
        render("silver/table.sql", {"A": "1"}, folder)
    assert error.value.message == "silver/table.sql:2: unknown variable ${B}"
    assert error.value.hint == "known variables: A"


def test_every_unknown_and_unused_variable_is_named_at_once(tmp_path: Path) -> None:
    folder = template(tmp_path, "SELECT ${A}\nFROM ${B}\nWHERE ${B}\n")
    with pytest.raises(TemplateError) as error:
        render("silver/table.sql", {"C": "1"}, folder)
    assert error.value.message == (
        "silver/table.sql:1: unknown variable ${A}; silver/table.sql:2: unknown variable ${B}; "
        "silver/table.sql:3: unknown variable ${B}; silver/table.sql: variable 'C' is given and not used"
    )


def test_an_unused_variable_is_named(tmp_path: Path) -> None:
    folder = template(tmp_path, "SELECT 1\n")
    with pytest.raises(TemplateError, match=r"silver/table\.sql: variable 'A' is given and not used"):
        render("silver/table.sql", {"A": "1"}, folder)


def test_a_variable_that_only_a_comment_names_counts_as_unused(tmp_path: Path) -> None:
    folder = template(tmp_path, "-- uses ${A}\nSELECT 1\n")
    with pytest.raises(TemplateError, match="'A' is given and not used"):
        render("silver/table.sql", {"A": "1"}, folder)


@pytest.mark.parametrize("name", ["", " A", "A ", "a-b", "A:-x"], ids=repr)
def test_what_stands_between_the_braces_is_the_name_as_it_is(tmp_path: Path, name: str) -> None:
    folder = template(tmp_path, f"SELECT ${{{name}}}\n")
    with pytest.raises(TemplateError, match=r"silver/table\.sql:1"):
        render("silver/table.sql", {"A": "1"}, folder)


@pytest.mark.parametrize(
    "value",
    ["${B}", "${A}", "$${B}", r"\1 \g<0> \n", "it''s", "a 'b' \"c\" `d`", "-- no comment", "a;\nb;"],
    ids=repr,
)
def test_a_value_is_inserted_as_it_is(tmp_path: Path, value: str) -> None:
    folder = template(tmp_path, "SELECT ${A}, ${B} FROM t\n")
    assert render("silver/table.sql", {"A": value, "B": "2"}, folder) == f"SELECT {value}, 2 FROM t"


@given(st.text(max_size=40))
def test_any_text_survives_rendering(value: str) -> None:
    # The shipped template itself: rendering needs no file of its own here.
    assert render("catalogs/namespace.sql", {"CATALOG": "c", "NAMESPACE": value}).endswith(f"c.{value}")


def test_a_missing_template_is_named(tmp_path: Path) -> None:
    with pytest.raises(TemplateError, match=r"silver/nix\.sql does not exist"):
        render("silver/nix.sql", {}, tmp_path)


def test_rendered_statements_are_kept_for_people_without_secrets(tmp_path: Path) -> None:
    secret = "hunter2"
    path = write_rendered(
        tmp_path / "rendered",
        "bronze",
        {
            "catalog": f"CREATE CATALOG c WITH (\n    'oauth2-client-secret' = '{secret}'\n)",
            "job": "INSERT INTO t SELECT 1",
        },
    )
    assert path.read_text(encoding="utf-8") == (
        f"-- catalog\nCREATE CATALOG c WITH (\n    'oauth2-client-secret' = '{MASK}'\n);\n\n"
        "-- job\nINSERT INTO t SELECT 1;\n"
    )
    assert [item.name for item in path.parent.iterdir()] == ["bronze.sql"]


def test_writing_again_replaces_the_statements(tmp_path: Path) -> None:
    write_rendered(tmp_path, "bronze", {"job": "SELECT 1"})
    assert write_rendered(tmp_path, "bronze", {"job": "SELECT 2"}).read_text(encoding="utf-8") == "-- job\nSELECT 2;\n"
