"""What is printed, and where."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from orchestration.cli import terminal

REPO = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (9.94, "9.9 s"), (42.4, "42 s"), (59.6, "1 min 00 s"), (185, "3 min 05 s"), (7800, "2 h 10 min")],
)
def test_durations_read_as_people_say_them(seconds: float, text: str) -> None:
    assert terminal.duration(seconds) == text


@pytest.mark.parametrize(
    ("rows", "seconds", "text"), [(1000, 2.0, "500/s"), (0, 2.0, "-"), (5, 0.0, "-"), (2_964_624, 10, "296,462/s")]
)
def test_a_rate_is_only_given_where_there_is_one(rows: int, seconds: float, text: str) -> None:
    assert terminal.rate(rows, seconds) == text


def test_a_table_is_plain_aligned_text_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.table(("layer", "rows"), [("bronze", "99,040"), ("silver", "5")], right=("rows",))
    assert capsys.readouterr().out == "layer     rows\nbronze  99,040\nsilver       5\n"


def test_the_longest_bar_is_the_largest_value_and_the_others_are_its_share() -> None:
    lines = list(terminal.bar_chart({"a": 10.0, "bb": 5.0, "c": 0.0}, width=4))
    assert lines == ["a   ████  10", "bb  ██     5", "c          0"]


def test_a_chart_of_nothing_is_empty_and_one_of_zeros_has_no_bars() -> None:
    assert list(terminal.bar_chart({})) == []
    assert "█" not in "".join(terminal.bar_chart({"a": 0.0}))


def test_nothing_but_the_document_reaches_stdout_not_even_from_child_processes() -> None:
    script = (
        "import os, subprocess, sys\n"
        "from orchestration.cli.terminal import print_json, stdout_reserved\n"
        "with stdout_reserved():\n"
        "    print('python')\n"
        "    os.write(1, b'native')\n"
        "    subprocess.run(['echo', 'child'])\n"
        "print_json({'rows': 1})\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=REPO, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == {"rows": 1}
    assert all(word in done.stderr for word in ("python", "native", "child"))


def test_stdout_is_back_after_an_error() -> None:
    script = (
        "from orchestration.cli.terminal import show, stdout_reserved\n"
        "try:\n"
        "    with stdout_reserved(): raise ValueError\n"
        "except ValueError: show('after')\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=REPO, capture_output=True, text=True, check=True)
    assert done.stdout == "after\n"
