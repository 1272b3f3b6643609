"""The shell's input: when Enter runs, what is coloured, what the history keeps."""

from __future__ import annotations

from pathlib import Path

import pytest
from prompt_toolkit.application import create_app_session
from prompt_toolkit.completion import DummyCompleter
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput
from pygments.token import Comment, Keyword, Name, String, Token

from orchestration.cli.sql.prompt import FlinkSqlLexer, SecretFreeHistory, is_complete, open_prompt


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="blank"),
        pytest.param("SELECT 1;", id="semicolon"),
        pytest.param("SELECT 1; -- done", id="comment behind it"),
        pytest.param("SELECT 1;\nSELECT 2;", id="two"),
        pytest.param("\\d orders", id="command"),
        pytest.param("quit", id="leave"),
        pytest.param("-- nothing", id="comment"),
        pytest.param("EXECUTE STATEMENT SET BEGIN INSERT INTO a SELECT 1; END;", id="statement set"),
    ],
)
def test_enter_runs_what_is_complete(text: str) -> None:
    assert is_complete(text)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("SELECT 1", id="no semicolon"),
        pytest.param("SELECT ';", id="in a string"),
        pytest.param("SELECT ';'", id="semicolon in a string"),
        pytest.param("SELECT 1 /* ;", id="in a comment"),
        pytest.param("SELECT `a;", id="in an identifier"),
        pytest.param("SELECT 1; SELECT 2", id="second one open"),
        pytest.param("EXECUTE STATEMENT SET BEGIN INSERT INTO a SELECT 1;", id="open statement set"),
    ],
)
def test_enter_begins_a_new_line_otherwise(text: str) -> None:
    assert not is_complete(text)


def test_a_statement_may_have_several_lines(tmp_path: Path) -> None:
    with create_pipe_input() as keys, create_app_session(input=keys, output=DummyOutput()):
        keys.send_text("SELECT 1,\r2;\r")
        prompt = open_prompt(tmp_path / "history", DummyCompleter())
        assert prompt.prompt() == "SELECT 1,\n2;"


def test_words_of_flink_are_coloured() -> None:
    text = "CREATE TABLE `a``b` (WATERMARK FOR ts AS ts); SELECT 'x' FROM t /*+ OPTIONS('a'='b') */ -- c"
    found = {value: kind for kind, value in FlinkSqlLexer().get_tokens(text)}
    assert found["CREATE"] in Keyword
    assert found["WATERMARK"] in Keyword
    assert found["`a``b`"] is Name
    assert found["'x'"] in String
    assert found["/*+ OPTIONS('a'='b') */"] is Comment.Preproc
    assert Token.Error not in found.values()


def test_the_history_holds_no_secret_and_belongs_to_its_owner(tmp_path: Path) -> None:
    path = tmp_path / "state" / "history"
    history = SecretFreeHistory(path)
    history.append_string("CREATE TABLE t (a INT) WITH ('connector' = 'jdbc', 'password' = 'hunter22')")
    text = path.read_text(encoding="utf-8")
    assert "hunter22" not in text
    assert "'connector' = 'jdbc'" in text
    assert path.stat().st_mode & 0o077 == 0
