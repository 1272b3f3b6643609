"""Every command explains itself, with an example."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from orchestration.cli.commands import ENTRIES, load_command


def commands() -> Iterator[tuple[str, Any]]:
    """Yield every command that the root help lists, with its path."""
    for entry in ENTRIES:
        if entry.summary:
            yield from walk(entry.name, load_command(entry))


def walk(path: str, command: Any) -> Iterator[tuple[str, Any]]:
    children = getattr(command, "commands", None)
    if not children:
        yield path, command
        return
    for name, child in children.items():
        yield from walk(f"{path} {name}", child)


ALL = dict(commands())
WITHOUT_JSON = {"test", "logs"}
"""One hands its arguments to pytest, the other prints the text of log files."""


@pytest.mark.parametrize("path", ALL)
def test_a_command_says_what_it_does_and_shows_an_example(path: str) -> None:
    words = f"{ALL[path].help or ''}\n{ALL[path].epilog or ''}"
    assert len((ALL[path].help or "").strip()) > 10
    assert f"millrace {path}" in words


@pytest.mark.parametrize("path", [path for path in ALL if path not in WITHOUT_JSON])
def test_a_command_answers_machines_too(path: str) -> None:
    assert "--json" in {option for parameter in ALL[path].params for option in parameter.opts}


@pytest.mark.parametrize("path", ALL)
def test_every_option_is_explained(path: str) -> None:
    options = [item for item in ALL[path].params if item.param_type_name == "option"]
    assert [item.name for item in options if not getattr(item, "help", None)] == []


def test_the_summaries_of_the_root_help_are_sentences() -> None:
    assert [entry.name for entry in ENTRIES if entry.summary and not entry.summary.endswith(".")] == []
