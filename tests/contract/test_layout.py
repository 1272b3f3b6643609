"""Where things are, and what must never be in a tracked file."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from tests.contract.checkout import ROOT, read_text, tracked_files

FOLDERS = ("dbt", "docs", "flink_sql", "orchestration", "platform", "tests")
FILES = (
    ".ci/run",
    ".github/workflows/ci.yml",
    ".gitignore",
    ".pre-commit-config.yaml",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "LICENSE",
    "Makefile",
    "README.md",
    "dagster.yaml",
    "millrace",
    "pyproject.toml",
    "requirements.lock",
)


@pytest.mark.parametrize("folder", FOLDERS)
def test_the_house_has_its_folders(folder: str) -> None:
    assert any(path.startswith(f"{folder}/") for path in tracked_files())


@pytest.mark.parametrize("file", FILES)
def test_the_house_has_its_files(file: str) -> None:
    assert file in tracked_files()


@pytest.mark.parametrize("folder", ["platform", "dbt"])
def test_folders_that_would_shadow_a_module_are_no_packages(folder: str) -> None:
    # From the root, platform/__init__.py would hide the standard library's module, dbt/__init__.py dbt itself.
    assert not list((ROOT / folder).rglob("__init__.py"))
    python = [path for path in tracked_files() if path.startswith(f"{folder}/") and path.endswith(".py")]
    assert python == []


def test_unit_tests_mirror_the_package() -> None:
    folders = {path.split("/")[2] for path in tracked_files() if re.match(r"tests/unit/\w+/", path)}
    modules = {path.split("/")[1] for path in tracked_files() if re.match(r"orchestration/\w+/", path)}
    assert folders <= modules


def test_no_tracked_folder_holds_only_a_placeholder() -> None:
    names = [Path(path).name for path in tracked_files()]
    assert not {".gitkeep", ".keep", ".placeholder"} & set(names)


@pytest.mark.parametrize("script", [".ci/run", "millrace"])
def test_scripts_can_be_run(script: str) -> None:
    assert os.access(ROOT / script, os.X_OK)


# Put together here, because this file is scanned too.
REGISTRIES = tuple(
    ".".join(labels)
    for labels in (
        ("pypi", "org"),
        ("pythonhosted", "org"),
        ("repo1", "maven", "org"),
        ("repo", "maven", "apache", "org"),
        ("npmjs", "org"),
        ("yarnpkg", "com"),
        ("crates", "io"),
        ("golang", "org"),
        ("rubygems", "org"),
    )
)
MACHINE = re.compile(
    "|".join(("/" + "work/(?:main|shared)", "/" + r"root/\w", "/" + r"home/(?!runner\b|me\b)\w", "/" + r"Users/\w"))
)
SECRETS = re.compile(
    "|".join(
        (
            "AK" + "IA[0-9A-Z]{16}",
            "gh" + "[pousr]_[A-Za-z0-9]{36}",
            "-----BEGIN " + "[A-Z ]*PRIVATE KEY-----",
            "xox" + "[baprs]-[0-9A-Za-z-]{10,}",
            "ey" + r"J[\w-]{20,}\.ey" + r"J[\w-]{20,}\.[\w-]{20,}",
        )
    )
)
# The example key of AWS's own documentation.
EXAMPLE_KEYS = ("AK" + "IAIOSFODNN7EXAMPLE",)


def lines_of_tracked_files() -> list[tuple[str, int, str]]:
    found: list[tuple[str, int, str]] = []
    for path in tracked_files():
        text = read_text(path)
        if text is not None:
            found += [(path, number, line) for number, line in enumerate(text.splitlines(), start=1)]
    return found


def test_no_file_names_a_package_registry() -> None:
    # Users behind a mirror use the settings of uv, pip and jgo; a host name of ours would go around them.
    assert [(p, n, line) for p, n, line in lines_of_tracked_files() if any(host in line for host in REGISTRIES)] == []


def test_no_file_names_a_folder_of_one_machine() -> None:
    assert [(p, n, line) for p, n, line in lines_of_tracked_files() if MACHINE.search(line)] == []


# It plants secrets and looks for them.
PLANTED = "tests/unit/test_redaction.py"


def test_no_file_holds_a_secret() -> None:
    found = [
        (path, number, match[0]) for path, number, line in lines_of_tracked_files() for match in SECRETS.finditer(line)
    ]
    assert [(path, number) for path, number, text in found if text not in EXAMPLE_KEYS and path != PLANTED] == []


def test_no_environment_or_data_file_is_tracked() -> None:
    refused = re.compile(
        r"(^|/)\.env($|\.)|\.(parquet|duckdb|jar|whl|pyc)$|(^|/)(\.venv|\.millrace|target|dbt_packages)/"
    )
    assert [path for path in tracked_files() if refused.search(path)] == []


def test_only_pictures_are_large() -> None:
    large = [path for path in tracked_files() if (ROOT / path).stat().st_size > 500_000]
    assert [path for path in large if not path.startswith("docs/images/")] == []


UNFINISHED = re.compile("|".join((r"\bTO" + "DO\\b", r"\bFIX" + "ME\\b", r"\bX" + "XX\\b", "Not" + "ImplementedError")))


def test_nothing_is_left_for_later() -> None:
    assert [(p, n, line) for p, n, line in lines_of_tracked_files() if UNFINISHED.search(line)] == []


SKIPS = re.compile(r"pytest\.(mark\.)?(skip|skipif|importorskip|xfail)\b")


# Somebody who knows that there is no browser says so; the summary shows it.
WANTED_SKIP = "MILLRACE_NO_BROWSER"


def test_no_test_is_skipped() -> None:
    tests = [
        item
        for item in lines_of_tracked_files()
        if item[0].startswith("tests/") and item[0] != "tests/contract/test_layout.py"
    ]
    assert [(p, n, line) for p, n, line in tests if SKIPS.search(line) and WANTED_SKIP not in line] == []


def test_no_module_is_a_design_question() -> None:
    long = {
        path: len((read_text(path) or "").splitlines())
        for path in tracked_files()
        if path.startswith("orchestration/") and path.endswith(".py")
    }
    assert {path: lines for path, lines in long.items() if lines > 400} == {}
