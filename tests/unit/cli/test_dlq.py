"""`millrace dlq` and `millrace health`: documents, arguments and exit codes."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from orchestration.broker import dead_letters
from orchestration.broker.letter_list import Selection
from orchestration.cli import dlq, health
from orchestration.errors import NotFoundError
from orchestration.flink.monitoring.health import Level
from orchestration.generator.replays import Replayed
from orchestration.lakehouse import replay as replaying
from orchestration.lakehouse.refit import Refit
from orchestration.lakehouse.replay import ReplayResult
from orchestration.validation import health as reporting
from orchestration.validation.line import Line
from tests.unit.letters import AT, letter_of_record, letter_of_row

RUNNER = CliRunner()
LETTERS = [
    letter_of_record(b"\xff{", offset=17),
    letter_of_row({"Zone": 1}, offset=18),
    letter_of_record(None, offset=19),
]


@pytest.fixture(autouse=True)
def letters(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three letters, of which 0:18 was replayed."""
    monkeypatch.setattr(dead_letters, "scan_dead_letters", lambda *_: iter([LETTERS]))
    monkeypatch.setattr(replaying, "read_replayed", lambda *_: Replayed(frozenset({(0, 18)}), 0, ()))
    monkeypatch.setattr(replaying, "judge_letter", lambda *given: Refit(given[2], "not UTF-8 text"))


def run(*arguments: str) -> Any:
    return RUNNER.invoke(dlq.app, arguments)


def test_the_list_counts_classes_and_names_the_newest() -> None:
    document = json.loads(run("list", "--json", "--limit", "2").stdout)
    assert (document["dead_letters"], document["replayed"]) == (3, 1)
    assert document["classes"] == {"malformed": 2, "missing": 1}
    assert [(one["place"], one["source"], one["replayed"]) for one in document["newest"]] == [
        ("0:19", "rides.raw 1:42", False),
        ("0:18", "row 5 of file ab12", True),
    ]


def test_the_list_is_a_table_for_people() -> None:
    lines = run("list", "--reason", "malformed").stdout.splitlines()
    assert lines[0].split() == ["class", "reason", "dead", "letters", "replayed", "newest"]
    assert lines[-1].startswith("taxi.dlq: 2 dead letters")
    assert any("(no value)" in line for line in lines)


def test_an_empty_list_says_so() -> None:
    assert run("list", "--reason", "nothing has this").stdout == "taxi.dlq: no dead letters\n"


def test_a_letter_is_shown_with_its_payload_and_whether_it_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dead_letters, "read_dead_letter", lambda *_: LETTERS[0])
    document = json.loads(run("show", "0:17", "--json").stdout)
    assert (document["payload"], document["row"]["encoding"]) == ("\\xff{", "base64")
    assert (document["fits_now"], document["why_not"], document["replayed"]) == (False, "not UTF-8 text", False)
    text = run("show", "0:17").stdout
    assert "source       rides.raw 1:42" in text
    assert text.endswith("payload\n\\xff{\n")


def test_a_letter_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dead_letters, "try_log_offsets", lambda *_: {})
    done = run("show", "3:5", "--json")
    assert isinstance(done.exception, NotFoundError)
    assert "no dead letter 3:5" in done.exception.message


@pytest.mark.parametrize("place", ["17", "a:1", "0:", "0:-1"])
def test_a_place_is_partition_and_offset(place: str) -> None:
    assert run("show", place).exit_code == 2
    assert run("replay", place).exit_code == 2


def test_replay_hands_on_what_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[Any, ...]] = []

    def fake(*given: Any, dry_run: bool, on_wait: Any) -> ReplayResult:
        calls.append((given[2], dry_run))
        return ReplayResult(dry_run, 3, 2, 0, {"not JSON": 1}, ((0, 17), (0, 18)), recovered=1)

    monkeypatch.setattr(replaying, "replay", fake)
    document = json.loads(run("replay", "0:17", "0:18", "--reason", "x", "--dry-run", "--json").stdout)
    assert calls == [(Selection("x", places=frozenset({(0, 17), (0, 18)})), True)]
    assert document == {
        "dry_run": True,
        "selected": 3,
        "sent": 2,
        "already_replayed": 0,
        "left": {"not JSON": 1},
        "offsets": ["0:17", "0:18"],
        "recovered": 1,
    }
    text = run("replay").stdout
    assert "left           1  not JSON" in text
    assert "2 of 3 dead letters sent to taxi.raw; 0 were replayed before, 1 do not fit" in text


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2 h", datetime(2024, 2, 29, 22, tzinfo=UTC)),
        ("7d", datetime(2024, 2, 23, tzinfo=UTC)),
        ("2024-01-31", datetime(2024, 1, 31, tzinfo=UTC)),
        ("2024-01-31T12:00+02:00", datetime(2024, 1, 31, 10, tzinfo=UTC)),
        (None, None),
    ],
)
def test_since_is_a_duration_or_a_time(text: str | None, at: datetime | None) -> None:
    assert dlq.parse_since(text, AT) == at


def test_a_since_that_is_neither_is_wrong_usage() -> None:
    with pytest.raises(typer.BadParameter, match="soon"):
        dlq.parse_since("soon")


@pytest.mark.parametrize(
    ("level", "code"), [(Level.HEALTHY, 0), (Level.DEGRADED, 0), (Level.UNHEALTHY, 1)], ids=lambda value: str(value)
)
def test_health_exits_with_1_if_something_is_unhealthy(
    monkeypatch: pytest.MonkeyPatch, level: Level, code: int
) -> None:
    lines = [Line("service", "broker", Level.HEALTHY, "1 broker"), Line("layer", "bronze", level, "old", ("x",), "run")]
    monkeypatch.setattr(reporting, "report_health", lambda *_: lines)
    app = typer.Typer()
    app.callback()(lambda: None)
    health.register(app)
    done = RUNNER.invoke(app, ["health", "--json"])
    document = json.loads(done.stdout)
    assert (done.exit_code, document["level"]) == (code, level.value)
    assert document["lines"][1] == {
        "kind": "layer", "name": "bronze", "level": level.value, "message": "old", "codes": ["x"], "hint": "run",
        "url": None,
    }  # fmt: skip
    shown = RUNNER.invoke(app, ["health"]).stdout.splitlines()
    assert shown[0] == "PASS  broker  1 broker"
    assert shown[-1] == level.value
