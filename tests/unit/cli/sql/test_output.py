"""Records as a table, JSON, NDJSON and CSV."""

from __future__ import annotations

import csv
import io
import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestration.cli.sql.options import Output, choose_output, read_properties
from orchestration.cli.sql.output import cell, csv_line, write_records
from orchestration.errors import InputError

RECORDS = [{"name": "a", "rows": 3, "tags": ["x", "y"]}, {"name": "b, c", "rows": None, "tags": []}]


@given(st.lists(st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0")), min_size=1))
def test_csv_reads_back_as_it_was(values: list[str]) -> None:
    assert next(csv.reader(io.StringIO(csv_line(values), newline=""))) == values


def test_null_and_the_empty_text_differ_in_csv() -> None:
    assert csv_line([None, "", "NULL", 1.5, True, [1, "a"]]) == ',"",NULL,1.5,true,"[1, ""a""]"'


@pytest.mark.parametrize(
    ("value", "text"),
    [
        pytest.param(None, "NULL", id="null"),
        pytest.param(False, "false", id="boolean"),
        pytest.param(Decimal("2.50"), "2.50", id="decimal"),
        pytest.param({"a": 1}, '{"a": 1}', id="row"),
        pytest.param("two\nlines", "two\nlines", id="text"),
    ],
)
def test_a_cell_is_text_for_people(value: object, text: str) -> None:
    assert cell(value) == text


def test_each_form_writes_the_same_records(capsys: pytest.CaptureFixture[str]) -> None:
    written = {}
    for form in Output:
        write_records(form, RECORDS, columns=("name", "rows"), titles=("query", "rows"), right=("rows",))
        written[form] = capsys.readouterr().out
    assert json.loads(written[Output.JSON]) == RECORDS
    assert [json.loads(line) for line in written[Output.NDJSON].splitlines()] == RECORDS
    assert written[Output.CSV] == 'name,rows\na,3\n"b, c",\n'
    assert written[Output.TABLE] == "query  rows\na         3\nb, c      -\n"


def test_an_empty_table_is_said_and_leaves_stdout_empty(capsys: pytest.CaptureFixture[str]) -> None:
    write_records(Output.TABLE, [], columns=("name",), nothing="no queries")
    assert capsys.readouterr() == ("", "no queries\n")


def test_json_is_another_name_of_an_output() -> None:
    assert choose_output(None, as_json=True) is Output.JSON
    assert choose_output(Output.JSON, as_json=True) is Output.JSON
    assert choose_output(Output.CSV, as_json=False) is Output.CSV
    assert choose_output(None, False, Output.NDJSON) is Output.NDJSON
    with pytest.raises(InputError, match="contradict"):
        choose_output(Output.CSV, as_json=True)


def test_a_setting_is_a_pair() -> None:
    assert read_properties(["a.b=c=d", " x = "]) == {"a.b": "c=d", "x": " "}
    for wrong in ("a.b", "=c", " =c"):
        with pytest.raises(InputError, match="KEY=VALUE"):
            read_properties([wrong])
