"""Splitting scripts and telling statements apart."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestration.errors import StatementError
from orchestration.flink.script import StatementKind, classify, split_script, tokenize

EXECUTE_SET = (
    "EXECUTE STATEMENT SET BEGIN\nINSERT INTO a SELECT CASE WHEN x THEN 1 END FROM t;\nINSERT INTO b SELECT 1;\nEND"
)


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        pytest.param("SELECT 1; SELECT 2", [("SELECT 1", 1), ("SELECT 2", 1)], id="two"),
        pytest.param("SELECT 1;\n\n  SELECT 2;\n", [("SELECT 1", 1), ("SELECT 2", 3)], id="lines"),
        pytest.param(";;;  ;\n", [], id="only-semicolons"),
        pytest.param("-- nothing; here\n/* nor; here */", [], id="only-comments"),
        pytest.param("-- head\nSELECT 1 -- tail; more\n;", [("SELECT 1", 2)], id="comments-around"),
        pytest.param("SELECT /* a;b */ 1", [("SELECT /* a;b */ 1", 1)], id="comment-inside-stays"),
        pytest.param("SELECT 'a;b', 'it''s; x'", [("SELECT 'a;b', 'it''s; x'", 1)], id="strings"),
        pytest.param(
            "SELECT `a;b``;c` FROM t; SELECT 2", [("SELECT `a;b``;c` FROM t", 1), ("SELECT 2", 1)], id="backticks"
        ),
        pytest.param(r"SELECT E'it\'s;', 1; SELECT 2", [(r"SELECT E'it\'s;', 1", 1), ("SELECT 2", 1)], id="escapes"),
        pytest.param("SELECT '--', 1; SELECT 2", [("SELECT '--', 1", 1), ("SELECT 2", 1)], id="dashes-in-a-string"),
        pytest.param(
            "SELECT * FROM t /*+ OPTIONS('k'='a;b') */; SELECT 2",
            [("SELECT * FROM t /*+ OPTIONS('k'='a;b') */", 1), ("SELECT 2", 1)],
            id="hint",
        ),
        pytest.param(EXECUTE_SET + ";\nSELECT 1", [(EXECUTE_SET, 1), ("SELECT 1", 5)], id="execute-statement-set"),
        pytest.param(
            "BEGIN STATEMENT SET;\nINSERT INTO a SELECT 1;\nINSERT INTO b SELECT 2;\nEND;\nSELECT 1;",
            [
                ("EXECUTE STATEMENT SET BEGIN\nINSERT INTO a SELECT 1;\nINSERT INTO b SELECT 2;\nEND", 1),
                ("SELECT 1", 5),
            ],
            id="begin-statement-set",
        ),
        pytest.param(
            "explain statement set begin insert into a select 1; end; select 2",
            [("explain statement set begin insert into a select 1; end", 1), ("select 2", 1)],
            id="explain-statement-set",
        ),
        pytest.param(
            "CREATE TABLE t AS SELECT 1; DROP TABLE t",
            [("CREATE TABLE t AS SELECT 1", 1), ("DROP TABLE t", 1)],
            id="ctas",
        ),
    ],
)
def test_scripts_are_cut_at_their_own_semicolons(script: str, expected: list[tuple[str, int]]) -> None:
    assert [(statement.text, statement.line) for statement in split_script(script)] == expected


@pytest.mark.parametrize(
    ("script", "text"),
    [
        pytest.param("SELECT 1;\nSELECT 'abc", "line 2, column 8: this string literal is never closed", id="string"),
        pytest.param("SELECT `abc", "line 1, column 8: this quoted identifier is never closed", id="identifier"),
        pytest.param("SELECT 1 /* abc", "line 1, column 10: this comment is never closed", id="comment"),
        pytest.param("SELECT 1 /*+ abc", "line 1, column 10: this comment is never closed", id="hint"),
        pytest.param(
            "\nBEGIN STATEMENT SET;\nINSERT INTO a SELECT 1;",
            "line 2, column 1: this statement set has no END",
            id="set",
        ),
    ],
)
def test_what_is_never_closed_is_named_with_its_position(script: str, text: str) -> None:
    with pytest.raises(StatementError) as caught:
        split_script(script)
    assert caught.value.message == text


@pytest.mark.parametrize(
    ("sql", "kind"),
    [
        ("SELECT 1", StatementKind.QUERY),
        ("(SELECT 1) UNION ALL (SELECT 2)", StatementKind.QUERY),
        ("WITH a AS (SELECT 1) SELECT * FROM a", StatementKind.QUERY),
        ("VALUES (1)", StatementKind.QUERY),
        ("-- c\n/* d */ insert into t select 1", StatementKind.INSERT),
        ("INSERT OVERWRITE t SELECT 1", StatementKind.INSERT),
        ("EXECUTE INSERT INTO t SELECT 1", StatementKind.INSERT),
        (EXECUTE_SET, StatementKind.STATEMENT_SET),
        ("BEGIN STATEMENT SET", StatementKind.STATEMENT_SET),
        ("CREATE TABLE t AS SELECT 1", StatementKind.CREATE_AS),
        ("CREATE TABLE t WITH ('connector'='x') AS SELECT 1", StatementKind.CREATE_AS),
        ("CREATE OR REPLACE TABLE t AS SELECT 1", StatementKind.CREATE_AS),
        ("REPLACE TABLE t AS SELECT 1", StatementKind.CREATE_AS),
        ("CREATE TABLE t (a INT, b AS a + 1) WITH ('connector'='x')", StatementKind.DDL),
        ("CREATE TEMPORARY VIEW v AS SELECT 1", StatementKind.DDL),
        ("CREATE FUNCTION f AS 'a.B'", StatementKind.DDL),
        ("CREATE CATALOG c WITH ('type'='iceberg')", StatementKind.DDL),
        ("DROP TABLE t", StatementKind.DDL),
        ("ALTER TABLE t ADD c INT", StatementKind.DDL),
        ("DELETE FROM t WHERE a = 1", StatementKind.DML),
        ("SET 'a' = 'b'", StatementKind.SET),
        ("RESET", StatementKind.RESET),
        ("USE CATALOG c", StatementKind.USE),
        ("ADD JAR 'x.jar'", StatementKind.LOAD),
        ("SHOW TABLES", StatementKind.INFO),
        ("EXPLAIN INSERT INTO t SELECT 1", StatementKind.INFO),
        ("DESC t", StatementKind.INFO),
        ("STOP JOB 'x'", StatementKind.JOB),
        ("", StatementKind.EMPTY),
        ("-- nothing", StatementKind.EMPTY),
        ("SELEC 1", StatementKind.OTHER),
        ("'SELECT'", StatementKind.OTHER),
    ],
)
def test_the_kind_of_a_statement(sql: str, kind: StatementKind) -> None:
    assert classify(sql) is kind


@pytest.mark.parametrize("kind", list(StatementKind))
def test_only_writing_statements_start_a_job(kind: StatementKind) -> None:
    assert kind.starts_job == (kind in {"insert", "statement_set", "create_as", "dml"})


def _quoted(quote: str) -> st.SearchStrategy[str]:
    return st.text(max_size=12).map(lambda text: quote + text.replace(quote, quote * 2) + quote)


_SPACE = st.sampled_from([" ", "\n", "\t", " -- c;'`\n", " /* ;'` */ "])
_PIECE = st.one_of(
    _quoted("'"),
    _quoted("`"),
    st.sampled_from(["SELECT", "a", "1", "(", ")", ",", "/*+ OPTIONS('x'=';') */", "END", "<>"]),
)
_STATEMENT = st.tuples(
    st.sampled_from(["SELECT", "INSERT", "x1"]), st.lists(st.tuples(_SPACE, _PIECE), max_size=8)
).map(lambda parts: parts[0] + "".join(space + piece for space, piece in parts[1]))


@given(st.lists(_STATEMENT, max_size=5))
def test_joining_and_splitting_gives_the_statements_back(statements: list[str]) -> None:
    parts = split_script(";\n".join(statements))
    assert [part.text for part in parts] == statements


@given(st.lists(_STATEMENT, max_size=5))
def test_a_statement_starts_at_the_line_it_names(statements: list[str]) -> None:
    script = ";\n-- between\n".join(statements)
    for part in split_script(script):
        assert part.text.split("\n")[0] in script.split("\n")[part.line - 1]


@given(st.text(alphabet=st.sampled_from("aS 1;'`-/*+()\n\"."), max_size=40))
def test_tokens_put_together_give_the_text(text: str) -> None:
    tokens = []
    with suppress(StatementError):  # something in it is never closed
        for token in tokenize(text):
            tokens.append(token)
    pieces = "".join(token.text for token in tokens)
    assert text.startswith(pieces)
    assert text == pieces or text[len(pieces)] in "'`/"


@given(_STATEMENT)
def test_splitting_a_part_again_changes_nothing(statement: str) -> None:
    assert [part.text for part in split_script(statement)] == [statement]
