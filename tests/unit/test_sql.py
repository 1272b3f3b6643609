import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestration.errors import ConfigError
from orchestration.flink.text.script import significant, split_script, string_value, tokenize
from orchestration.sql import (
    check_identifier,
    options_clause,
    quote_duckdb,
    quote_flink,
    quote_literal,
    split_table,
)

PRINTABLE = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=40)
NAMES = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=40)


@pytest.fixture(scope="module")
def database() -> duckdb.DuckDBPyConnection:
    return duckdb.connect()


@given(value=PRINTABLE)
def test_duckdb_reads_back_every_literal(database: duckdb.DuckDBPyConnection, value: str) -> None:
    assert database.execute(f"select {quote_literal(value)}").fetchall() == [(value,)]


@given(name=NAMES)
def test_duckdb_reads_back_every_quoted_name(database: duckdb.DuckDBPyConnection, name: str) -> None:
    described = database.execute(f"select 1 as {quote_duckdb(name)}").description
    assert described is not None
    assert described[0][0] == name


@given(PRINTABLE)
def test_a_literal_has_no_lone_quote_inside(value: str) -> None:
    inside = quote_literal(value)[1:-1]
    assert "'" not in inside.replace("''", "")


@given(NAMES)
def test_a_flink_name_has_no_lone_backtick_inside(name: str) -> None:
    inside = quote_flink(name)[1:-1]
    assert "`" not in inside.replace("``", "")
    assert inside.replace("``", "`") == name


@pytest.mark.parametrize("char", ["\n", "\r", "\t", "\0", "\x1b"], ids=repr)
def test_a_control_character_in_a_literal_is_refused(char: str) -> None:
    with pytest.raises(ConfigError, match="control character"):
        quote_literal(f"a{char}b")


@pytest.mark.parametrize(
    "value", ["x' OR '1'='1", "'; DROP TABLE t; --", "''", "${HOME}", "a\\", "größe", "# not a comment"]
)
def test_hostile_values_come_back_as_they_are(database: duckdb.DuckDBPyConnection, value: str) -> None:
    assert database.execute(f"select {quote_literal(value)}").fetchall() == [(value,)]


@pytest.mark.parametrize("name", ["a", "_a", "raw_trips", "A1", "a" * 128])
def test_plain_identifiers_pass(name: str) -> None:
    assert check_identifier(name) == name


@pytest.mark.parametrize(
    "name",
    ["", "1a", "a-b", "a b", "a.b", "a;b", "a'b", 'a"b', "a`b", "größe", "a" * 129, "a/*b", "${a}", "a\n"],
    ids=repr,
)
def test_other_identifiers_are_refused_by_name(name: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check_identifier(name, "column")
    assert caught.value.message == f"column {name!r} is not a plain identifier"


def test_a_table_is_split_into_schema_and_name() -> None:
    assert split_table("bronze.raw_trips") == ("bronze", "raw_trips")


@pytest.mark.parametrize("table", ["raw_trips", "a.b.c", ".b", "a.", "a.b;c", "a b.c", ""], ids=repr)
def test_what_is_not_schema_and_name_is_refused(table: str) -> None:
    with pytest.raises(ConfigError):
        split_table(table)


def test_options_are_quoted_one_a_line() -> None:
    assert options_clause({"type": "iceberg", "it's": "a 'b'"}) == "    'type' = 'iceberg',\n    'it''s' = 'a ''b'''"


def test_no_options_are_an_empty_clause() -> None:
    assert options_clause({}) == ""


@given(value=PRINTABLE, name=NAMES)
def test_a_hostile_literal_and_name_stay_one_token_each_in_a_script(value: str, name: str) -> None:
    sql = f"SELECT {quote_literal(value)} AS {quote_flink(name)} FROM {quote_flink(name)}"
    parts = split_script(f"{sql};\n{sql}")
    assert [part.text for part in parts] == [sql, sql]
    tokens = significant(tokenize(sql))
    assert [token.kind for token in tokens] == ["word", "string", "word", "quoted", "word", "quoted"]
    assert (string_value(tokens[1]), tokens[3].name, tokens[5].name) == (value, name, name)


@given(st.dictionaries(NAMES, PRINTABLE, max_size=6))
def test_hostile_options_are_read_back_from_the_ddl(options: dict[str, str]) -> None:
    ddl = f"CREATE TABLE t (a INT) WITH (\n{options_clause(options)}\n)"
    assert [part.text for part in split_script(ddl)] == [ddl]
    values = [value for token in tokenize(ddl) if (value := string_value(token)) is not None]
    assert dict(zip(values[::2], values[1::2], strict=True)) == options


@pytest.mark.parametrize(
    "value",
    ["x'); DROP TABLE t; --", "\\'", "/*", "--", "//", "`", "';`;/*+ OPTIONS('a'='b') */", "\u2028", "😀", "\ufeff"],
)
def test_hostile_values_do_not_end_their_literal(value: str) -> None:
    sql = f"SELECT {quote_literal(value)}, 1; SELECT {quote_flink(value)}"
    assert [part.text for part in split_script(sql)] == [
        f"SELECT {quote_literal(value)}, 1",
        f"SELECT {quote_flink(value)}",
    ]
