"""Completion: where the cursor stands, what is asked, and what a word replaces."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document

from orchestration.cli.sql.complete import SqlCompleter, statement_before
from orchestration.errors import FlinkError

TAB, TYPED = CompleteEvent(completion_requested=True), CompleteEvent(text_inserted=True)


class Planner:
    """Gives fixed words and keeps what it was asked."""

    def __init__(self, *words: str) -> None:
        self.words, self.asked = words, list[tuple[str, int]]()

    def __call__(self, statement: str, position: int) -> Iterable[str]:
        self.asked.append((statement, position))
        return self.words


def complete(
    text: str, planner: Planner, *, tables: Iterable[str] = ("taxi_raw", "zones"), event: CompleteEvent = TAB
) -> list[str]:
    """Return what each completion turns the text before `|` into."""
    before, _, after = text.partition("|")
    completer = SqlCompleter(planner, lambda: tables, ("\\d", "\\help"))
    found = completer.get_completions(Document(before + after, len(before)), event)
    return [before[: len(before) + one.start_position] + one.text for one in found]


@pytest.mark.parametrize(
    ("text", "words", "becomes"),
    [
        pytest.param("SELECT am| FROM t", ["amount"], ["SELECT amount"], id="column"),
        pytest.param("SELECT o.am| FROM t o", ["amount"], ["SELECT o.amount"], id="column after its table"),
        pytest.param("SELECT 1 FROM or|", ["c.d.orders"], ["SELECT 1 FROM orders"], id="table of the current database"),
        pytest.param("SELECT 1 FROM c.two.o|", ["c.two.ord"], ["SELECT 1 FROM c.two.ord"], id="table by its path"),
        pytest.param("SELECT 1 FROM two.o|", ["c.two.ord"], ["SELECT 1 FROM c.two.ord"], id="a short path gets whole"),
        pytest.param("select cou|", ["COUNT"], ["select count"], id="keywords follow the case"),
        pytest.param("SELECT 1 |", ["(", "*", "FROM"], ["SELECT 1 FROM"], id="no signs"),
        pytest.param("SELECT x|", ["amount"], [], id="only what continues the word"),
        pytest.param("SELECT a|", ["abs", "abs"], ["SELECT abs"], id="each once"),
    ],
)
def test_a_word_of_the_planner_takes_the_place_of_what_was_typed(
    text: str, words: list[str], becomes: list[str]
) -> None:
    assert complete(text, Planner(*words), tables=()) == becomes


def test_the_planner_sees_the_statement_under_the_cursor_alone() -> None:
    planner = Planner()
    complete("SET 'a' = ';'; SELECT a| FROM t; SELECT 2", planner)
    assert planner.asked == [("SELECT a FROM t", 8)]


def test_statements_start_with_words_that_the_planner_does_not_know() -> None:
    planner = Planner()
    assert complete("SELECT 1;\nin|", planner) == ["SELECT 1;\ninsert into"]
    assert planner.asked == []


@pytest.mark.parametrize("before", ["SELECT * FROM ta", "INSERT INTO ta", "DESCRIBE ta"])
def test_tables_that_are_made_on_demand_are_offered_where_a_table_stands(before: str) -> None:
    assert complete(f"{before}|", Planner()) == [before.removesuffix("ta") + "taxi_raw"]


def test_the_planner_is_asked_about_a_query_where_it_completes_nothing_else() -> None:
    planner = Planner("c.d.tab")
    assert complete("INSERT INTO ta|", planner, tables=()) == ["INSERT INTO tab"]
    assert planner.asked == [("SELECT * FROM ta", 16)]


def test_a_table_is_no_word_of_a_select_list() -> None:
    assert complete("SELECT ta|", Planner()) == []


def test_a_planner_without_an_answer_leaves_the_known_tables() -> None:
    def refuse(statement: str, position: int) -> Iterable[str]:
        raise FlinkError("no completion of INSERT")

    completer = SqlCompleter(refuse, lambda: ["zones"], ())
    found = completer.get_completions(Document("INSERT INTO z"), TAB)
    assert [one.text for one in found] == ["zones"]


def test_one_letter_alone_does_not_open_a_list() -> None:
    planner = Planner("amount")
    assert complete("SELECT a|", planner, event=TYPED) == []
    assert planner.asked == []
    assert complete("SELECT am|", planner, event=TYPED) == ["SELECT amount"]


def test_the_shells_own_commands_are_completed() -> None:
    assert complete("\\h|", Planner()) == ["\\help"]
    assert complete("\\d zo|", Planner()) == ["\\d zones"]
    assert complete("\\timing z|", Planner()) == []


@pytest.mark.parametrize("text", ["SELECT 'a", "SELECT `a", "/* a", "-- a", "SELECT 1 -- a"])
def test_strings_and_comments_are_not_completed(text: str) -> None:
    assert statement_before(text) is None


def test_a_comment_that_is_closed_is_no_hindrance() -> None:
    assert statement_before("SELECT 1; /* a */ SELECT ") == "/* a */ SELECT "
