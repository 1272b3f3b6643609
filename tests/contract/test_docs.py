"""Documents say what the code does: settings, commands, links, licence and history."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from pydantic import SecretStr

from orchestration.cli.commands import ENTRIES
from orchestration.contracts.models import Column, DatasetContract, QualityRule
from orchestration.settings import Settings
from orchestration.settings.names import env_name
from tests.contract.checkout import ROOT, tracked_files

DOCUMENTS = sorted(path for path in tracked_files() if path.endswith(".md"))
ROW = re.compile(r"^\| `([A-Z0-9_]+)` \| (.*?) \| (.+) \|$", re.MULTILINE)


def read(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def shown_default(field: str) -> str:
    """Return the default as docs/configuration.md writes it: paths below the checkout, secrets never."""
    value = getattr(Settings(), field)
    if field == "repo_root":
        return "the checkout"
    if value is None or isinstance(value, SecretStr):
        return "none"
    text = str(value).lower() if isinstance(value, bool) else str(value)
    for path, name in (
        (str(Settings().instance_dir), "<instance>"),
        (str(ROOT), "<checkout>"),
        (str(Path.home()), "~"),
    ):
        text = text.replace(path, name)
    if isinstance(value, float) and value.is_integer():
        text = str(int(value))
    return f"`{text}`"


def test_every_setting_is_documented_with_its_default() -> None:
    documented = {name: default for name, default, _ in ROW.findall(read("docs/configuration.md"))}
    assert documented == {env_name(field): shown_default(field) for field in Settings.model_fields}


def test_every_profile_is_documented() -> None:
    text = read("docs/configuration.md")
    profiles = [Path(path).stem for path in tracked_files() if path.startswith("platform/profiles/")]
    assert [name for name in profiles if f"`{name}`" not in text] == []


def test_every_key_of_a_contract_is_documented() -> None:
    text = read("docs/datasets.md")
    keys = {
        field.alias or name
        for model in (DatasetContract, Column, QualityRule)
        for name, field in model.model_fields.items()
    }
    assert [key for key in sorted(keys) if f"`{key}`" not in text] == []


def test_every_command_is_in_the_readme() -> None:
    text = read("README.md")
    assert [entry.name for entry in ENTRIES if entry.summary and f"millrace {entry.name}" not in text] == []


def test_the_readme_starts_with_the_two_commands() -> None:
    code = re.findall(r"```\w*\n(.*?)```", read("README.md"), re.DOTALL)[0]
    commands = [line.split("#")[0].strip() for line in code.splitlines() if line.strip()]
    assert commands == ["./millrace demo", "./millrace test"]


def test_ci_runs_what_the_readme_says() -> None:
    lines = [line for line in read(".ci/run").splitlines() if "millrace" in line]
    assert lines == ["exec ./millrace test"]
    workflow = read(".github/workflows/ci.yml")
    assert [
        command
        for command in ("./millrace test", "./millrace demo --json", "./millrace validate")
        if f"run: {command}\n" not in workflow
    ] == []


LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def anchors_of(path: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_between_documents_lead_somewhere(document: str) -> None:
    broken = []
    for target in LINK.findall(read(document)):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = target.partition("#")
        path = ((ROOT / document).parent / file).resolve() if file else ROOT / document
        if not path.exists() or (anchor and anchor not in anchors_of(path)):
            broken.append(target)
    assert broken == []


def test_every_document_is_reached_from_the_index() -> None:
    text = read("docs/index.md")
    pages = [Path(path) for path in DOCUMENTS if path.startswith("docs/") and path != "docs/index.md"]
    assert [str(page) for page in pages if f"({page.relative_to('docs')})" not in text] == []


def test_the_changelog_has_the_version_and_what_comes_next() -> None:
    version = tomllib.loads(read("pyproject.toml"))["project"]["version"]
    text = read("CHANGELOG.md")
    assert "## [Unreleased]" in text
    assert version == "0.1.0" or f"## [{version}]" in text


def test_the_licence_is_apache_2() -> None:
    text = read("LICENSE")
    assert "Apache License" in text
    assert "Version 2.0, January 2004" in text
    assert "9. Accepting Warranty or Additional Liability" in text
    assert tomllib.loads(read("pyproject.toml"))["project"]["license"] == "Apache-2.0"


def test_decisions_have_numbers_of_their_own() -> None:
    numbers = [Path(path).name[:4] for path in tracked_files() if re.match(r"docs/adr/\d{4}-", path)]
    assert numbers
    assert len(numbers) == len(set(numbers))
