"""Splitting scripts and telling statements apart."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestration.errors import JobFailedError, StatementError
from orchestration.flink.text.kinds import Setting
from orchestration.flink.text.script import (
    Statement,
    StatementFamily,
    StatementKind,
    classify,
    locate_error,
    position,
    setting_of,
    significant,
    split_script,
    tokenize,
)

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
        pytest.param(
            "SELECT 1 // it's; so\n+ 2; SELECT 2", [("SELECT 1 // it's; so\n+ 2", 1), ("SELECT 2", 2)], id="slashes"
        ),
        pytest.param(
            "SELECT * FROM t /*+ OPTIONS('k'='*/;') */; SELECT 2",
            [("SELECT * FROM t /*+ OPTIONS('k'='*/;') */", 1), ("SELECT 2", 1)],
            id="end-of-comment-in-a-hint",
        ),
        pytest.param("/**/SELECT 1;/***/SELECT 2", [("SELECT 1", 1), ("SELECT 2", 1)], id="empty-comments"),
        pytest.param("SELECT 1; -- last", [("SELECT 1", 1)], id="comment-at-the-end"),
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
        pytest.param("SELECT 'it''s", "line 1, column 8: this string literal is never closed", id="doubled-quote"),
        pytest.param("SELECT 1 /*+ 'a''b", "line 1, column 10: this comment is never closed", id="string-in-hint"),
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
        ("UPSERT INTO t SELECT 1", StatementKind.INSERT),
        ("TRUNCATE TABLE t", StatementKind.DML),
        ("CALL c.p(1)", StatementKind.DML),
        ("EXECUTE PLAN 'x.json'", StatementKind.DML),
        ("COMPILE AND EXECUTE PLAN 'x' FOR INSERT INTO t SELECT 1", StatementKind.DML),
        ("CREATE MATERIALIZED TABLE t FRESHNESS = INTERVAL '1' MINUTE AS SELECT 1", StatementKind.CREATE_AS),
        ("CREATE TABLE t (a AS (SELECT 1)) WITH ('connector'='x')", StatementKind.DDL),
        ("TABLE t", StatementKind.QUERY),
        ("UNLOAD MODULE m", StatementKind.LOAD),
        (";; SELECT 1", StatementKind.QUERY),
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


FAMILIES = {
    "query": {"query"},
    "dml": {"insert", "statement_set", "create_as", "dml"},
    "ddl": {"ddl"},
    "session": {"set", "reset", "use", "load"},
    "info": {"info"},
    "job": {"job"},
    "other": {"empty", "other"},
}


@pytest.mark.parametrize("family", list(StatementFamily))
def test_each_kind_is_of_one_family(family: StatementFamily) -> None:
    assert {kind.value for kind in StatementKind if kind.family is family} == FAMILIES[family]


@pytest.mark.parametrize(
    ("sql", "setting"),
    [
        ("SET 'a.b' = 'it''s'", Setting("a.b", "it's", 4)),
        ("set a.b=c.d;", Setting("a.b", "c.d", 4)),
        ("SET /* x */ 'a'='-- b'", Setting("a", "-- b", 12)),
        ("RESET 'a.b'", Setting("a.b", None, 6)),
        ("RESET", Setting(None, None, 0)),
        ("SET;", Setting(None, None, 0)),
        ("SELECT 'a' = 'b'", None),
        ("", None),
    ],
)
def test_set_and_reset_name_a_setting(sql: str, setting: Setting | None) -> None:
    assert setting_of(significant(tokenize(sql))) == setting


@pytest.mark.parametrize(
    ("script", "index", "flink", "expected"),
    [
        pytest.param("SELECT nope", 0, (1, 8), (1, 8), id="alone"),
        pytest.param("SELECT 1;\n\n  SELECT nope", 1, (1, 8), (3, 10), id="first-line-is-moved"),
        pytest.param("SELECT 1; SELECT 2,\n  nope", 1, (2, 3), (2, 3), id="later-lines-keep-their-column"),
        pytest.param("/* c */ -- d\n\tSELECT nope", 0, (1, 8), (2, 9), id="comments-before"),
        pytest.param("SELECT '😀', nope", 0, (1, 14), (1, 13), id="java-counts-an-emoji-twice"),
        pytest.param("SELECT 1,\r\n nope", 0, (2, 2), (2, 2), id="windows-line-ends"),
        pytest.param(
            "  BEGIN STATEMENT SET; INSERT INTO a SELECT nope;\nEND", 0, (1, 50), (1, 45), id="begin-set-first-line"
        ),
        pytest.param(
            "BEGIN\nSTATEMENT SET ; INSERT INTO a SELECT nope; END", 0, (2, 23), (2, 38), id="begin-set-over-lines"
        ),
        pytest.param(
            "BEGIN STATEMENT SET;\nINSERT INTO a SELECT nope;\nEND", 0, (2, 22), (2, 22), id="begin-set-inside"
        ),
    ],
)
def test_a_position_of_flink_is_found_in_the_script(
    script: str, index: int, flink: tuple[int, int], expected: tuple[int, int]
) -> None:
    assert split_script(script)[index].locate(*flink) == expected
    line, column = expected
    assert script.split("\n")[line - 1][column - 1 :].startswith("nope")


def test_a_line_that_the_statement_does_not_have_is_not_placed() -> None:
    assert Statement("SELECT 1", 7, 3).locate(2, 1) is None
    assert Statement("SELECT 1", 7, 3).locate(0, 1) is None


def test_an_error_names_the_line_of_the_script() -> None:
    error = StatementError("From line 1, column 8 to line 1, column 11: no nope", hint="h", context={"code": "x"})
    located = locate_error(error, Statement("SELECT nope", 5, 3))
    assert located.message == "From line 5, column 10 to line 5, column 13: no nope"
    assert located.context == {"code": "x", "line": "5", "column": "10"}
    assert (type(located), located.hint, str(located)) == (StatementError, "h", f"{located.message} (h)")
    assert error.message.startswith("From line 1, column 8")


def test_an_error_without_a_position_stays_as_it_is() -> None:
    error = JobFailedError("out of slots", root_cause="none free", state="FAILED")
    located = locate_error(error, Statement("SELECT 1", 5, 3))
    assert (located.message, located.context, located.root_cause) == ("out of slots", {}, "none free")


def test_a_position_that_stands_in_the_context_alone_is_placed_too() -> None:
    error = StatementError("cut…", context={"line": 1, "column": 8})
    assert locate_error(error, Statement("SELECT nope", 5, 3)).context == {"line": "5", "column": "10"}


@pytest.mark.parametrize(
    ("sql", "hint"),
    [
        ("SELEC 1", "no statement starts with 'SELEC'; did you mean SELECT?"),
        ("insrt INTO t SELECT 1", "no statement starts with 'insrt'; did you mean INSERT?"),
        ("42", "no statement starts with '4'"),
    ],
)
def test_what_is_no_statement_gets_its_start_and_the_likely_word(sql: str, hint: str) -> None:
    error = StatementError("Non-query expression encountered in illegal context", context={"code": "sql_parse_error"})
    located = locate_error(error, Statement(sql, 5, 3))
    assert (located.context["line"], located.context["column"], located.hint) == ("5", "3", hint)


def test_a_position_in_a_view_is_left_alone() -> None:
    located = locate_error(StatementError("bad at line 9, column 2"), Statement("SELECT * FROM v", 5, 3))
    assert (located.message, located.context) == ("bad at line 9, column 2", {})


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


@pytest.mark.parametrize(
    "part", ["'", "''", "`", "/*+ ", "/*+ ''", "/*", "(", "E'\\", "a;", "-", "'a''b", "\n"], ids=repr
)
def test_long_text_takes_no_long_time(part: str) -> None:
    text = part * (200_000 // len(part))
    start = time.process_time()
    with suppress(StatementError):
        list(tokenize(text))
    assert time.process_time() - start < 5


HEADS: list[tuple[list[str], StatementKind]] = [
    (["SELECT"], StatementKind.QUERY),
    (["with", "x", "AS"], StatementKind.QUERY),
    (["VALUES"], StatementKind.QUERY),
    (["INSERT", "INTO", "t"], StatementKind.INSERT),
    (["insert", "overwrite", "`a;b`"], StatementKind.INSERT),
    (["CREATE", "TABLE", "t", "AS", "SELECT"], StatementKind.CREATE_AS),
    (["CREATE", "OR", "REPLACE", "TABLE", "t", "AS"], StatementKind.CREATE_AS),
    (["CREATE", "TEMPORARY", "VIEW", "v", "AS"], StatementKind.DDL),
    (["CREATE", "TABLE", "t", "(", "a", "AS", "b", ")"], StatementKind.DDL),
    (["Drop", "TABLE"], StatementKind.DDL),
    (["ALTER", "TABLE"], StatementKind.DDL),
    (["DELETE", "FROM"], StatementKind.DML),
    (["TRUNCATE", "TABLE"], StatementKind.DML),
    (["SET"], StatementKind.SET),
    (["RESET"], StatementKind.RESET),
    (["USE", "CATALOG"], StatementKind.USE),
    (["LOAD", "MODULE"], StatementKind.LOAD),
    (["SHOW"], StatementKind.INFO),
    (["EXPLAIN", "INSERT", "INTO"], StatementKind.INFO),
    (["STOP", "JOB"], StatementKind.JOB),
    (["SELEC"], StatementKind.OTHER),
]
BLANKS = [" ", "\n", "\r\n", "\t", " -- it's; a `c`\n", " // 'x;\n", "/* ';` */", "/** mode('x') ; */", "\n\n  "]
ATOMS = [
    "a",
    "1.5",
    "<>",
    "*",
    ",",
    "'a;b'",
    "'it''s'",
    "'--'",
    "'/*'",
    "`c;`",
    "`d``;`",
    "'😀;'",
    "''",
    "E'\\';'",
    "END",
]
ATOMS += ["/*+ OPTIONS('k'='*/;') */", "CASE WHEN a THEN ';' END", "BEGIN", "x'0f'", "=>", "größe", "[1]"]


@dataclass
class Script:
    """A script that is made together with what it holds."""

    chance: random.Random
    text: str = ""
    expected: list[tuple[str, StatementKind, int]] = field(default_factory=list)

    def blank(self) -> str:
        return "".join(self.chance.choices(BLANKS, k=self.chance.randint(1, 2)))

    def atoms(self, depth: int = 0) -> Iterator[str]:
        for _ in range(self.chance.randint(0, 4)):
            if depth < 3 and self.chance.random() < 0.2:
                yield "("
                yield from self.atoms(depth + 1)
                yield ")"
            else:
                yield self.chance.choice(ATOMS)

    def join(self, parts: list[str]) -> str:
        return "".join(part + self.blank() for part in parts[:-1]) + parts[-1]

    def plain(self, heads: list[tuple[list[str], StatementKind]]) -> tuple[str, StatementKind]:
        head, kind = self.chance.choice(heads)
        return self.join([*head, *self.atoms()]), kind

    def statement(self) -> tuple[str, StatementKind]:
        if self.chance.random() > 0.1:
            return self.plain(HEADS)
        inserts = [self.plain(HEADS[3:5])[0] + ";" for _ in range(self.chance.randint(1, 3))]
        return self.join(["EXECUTE", "statement", "SET", "BEGIN", *inserts, "END"]), StatementKind.STATEMENT_SET

    def fill(self) -> Script:
        for _ in range(self.chance.randint(0, 5)):
            self.text += self.chance.choice(["", self.blank(), ";", self.blank() + ";"])
            sql, kind = self.statement()
            self.expected.append((sql, kind, len(self.text)))
            self.text += sql + self.chance.choice(["", self.blank()]) + ";"
        if self.expected and self.chance.random() < 0.5:
            self.text = self.text[:-1]
        return self


def _each_script(check: Callable[[Script], None]) -> None:
    """Run a check on 10,000 scripts, which are the same in each run; the seed of one that fails is in the error."""
    for seed in range(10_000):
        script = Script(random.Random(seed)).fill()
        try:
            check(script)
        except BaseException as error:
            error.add_note(f"seed {seed}: {script.text!r}")
            raise


def test_10_000_scripts_are_split_at_their_own_semicolons_and_told_apart() -> None:
    def check(script: Script) -> None:
        found = split_script(script.text)
        assert [(part.text, part.kind, part.line, part.column) for part in found] == [
            (sql, kind, *position(script.text, start)) for sql, kind, start in script.expected
        ]

    _each_script(check)


def test_positions_in_10_000_scripts_are_found_again() -> None:
    def check(script: Script) -> None:
        for part, (sql, _, start) in zip(split_script(script.text), script.expected, strict=True):
            at = script.chance.randrange(len(sql))
            before = sql[:at].replace("\r\n", "\n")
            column = len(before[before.rfind("\n") + 1 :].encode("utf-16-le")) // 2 + 1
            if sql[at] != "\n":
                assert part.locate(before.count("\n") + 1, column) == position(script.text, start + at)

    _each_script(check)
