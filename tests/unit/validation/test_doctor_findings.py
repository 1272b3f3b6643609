"""What doctor finds on machines and in checkouts."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestration.errors import ConfigError, StackError
from orchestration.settings import Settings
from orchestration.validation import checkout, machine

GIB = 1 << 30


@pytest.mark.parametrize(
    ("version", "level"), [((3, 10), "FAIL"), ((3, 11), "PASS"), ((3, 13), "PASS"), ((3, 14), "FAIL")]
)
def test_python_is_3_11_to_3_13(version: tuple[int, ...], level: str) -> None:
    assert machine.judge_python(version, "/usr/bin/python").level == level


@pytest.mark.parametrize(
    ("system", "processor", "level"),
    [
        ("Linux", "x86_64", "PASS"),
        ("Linux", "aarch64", "PASS"),
        ("Darwin", "arm64", "PASS"),
        ("Windows", "AMD64", "FAIL"),
        ("Linux", "riscv64", "FAIL"),
    ],
)
def test_a_platform_needs_a_java_runtime(system: str, processor: str, level: str) -> None:
    assert machine.judge_platform(system, processor).level == level


@pytest.mark.parametrize(
    ("available", "is_up", "level"),
    [(8 * GIB, False, "PASS"), (4 * GIB, False, "WARN"), (2 * GIB, False, "FAIL"), (1 * GIB, True, "PASS")],
)
def test_memory_is_enough_for_a_stack_or_the_stack_has_it_already(available: int, is_up: bool, level: str) -> None:
    found = machine.judge_memory(16 * GIB, available, is_up=is_up)
    assert found.level == level
    assert (found.hint is None) == (level == "PASS")


@pytest.mark.parametrize(("free", "level"), [(50 * GIB, "PASS"), (2 * GIB, "WARN"), (GIB // 2, "FAIL")])
def test_little_disk_is_a_warning_and_too_little_a_failure(free: int, level: str) -> None:
    assert machine.judge_disk("/state", free).level == level


def test_an_error_of_ours_is_a_finding_with_its_hint() -> None:
    def look() -> machine.Finding:
        raise StackError("no extension", hint="install")

    assert machine.find("duckdb", look) == machine.Finding("duckdb", "FAIL", "no extension", "install")


def test_every_refused_setting_is_a_finding_of_its_own() -> None:
    found = list(checkout.explain(ConfigError("BROKER is wrong\nSTORAGE is wrong", hint="look")))
    assert [(one.level, one.message) for one in found] == [("FAIL", "BROKER is wrong"), ("FAIL", "STORAGE is wrong")]


def test_the_contract_of_this_checkout_holds_and_all_its_templates_render(tmp_path: Path) -> None:
    settings = Settings(state_dir=tmp_path)
    assert checkout.check_contract(settings, "taxi").level == "PASS"
    assert checkout.check_templates(settings, "taxi").level == "PASS"


def test_extensions_load_offline() -> None:
    assert checkout.check_extensions().level == "PASS"


def test_jars_that_are_not_there_yet_are_a_warning_with_their_size(tmp_path: Path) -> None:
    found = checkout.check_jars(Settings(state_dir=tmp_path, cache_dir=tmp_path / "cache"))
    assert found.level == "WARN"
    assert found.hint is not None
    assert "MB" in found.hint


def test_settings_that_name_missing_files_are_a_failure(tmp_path: Path) -> None:
    settings = Settings(state_dir=tmp_path, data_path=str(tmp_path / "none"))
    assert checkout.check_settings(settings).level == "FAIL"
    assert checkout.check_settings(Settings(state_dir=tmp_path)).level == "PASS"


@pytest.mark.parametrize(
    ("is_parsed", "is_stale", "level"),
    [
        pytest.param(False, True, "PASS", id="not parsed yet"),
        pytest.param(True, True, "WARN", id="behind the project"),
        pytest.param(True, False, "PASS", id="current"),
    ],
)
def test_a_manifest_that_is_behind_the_project_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_parsed: bool, is_stale: bool, level: str
) -> None:
    monkeypatch.setattr("orchestration.dbt_plugin.manifest.is_stale", lambda _: is_stale)
    settings = Settings(repo_root=tmp_path)
    if is_parsed:
        path = tmp_path / "dbt" / "target" / settings.gold_target / "manifest.json"
        path.parent.mkdir(parents=True)
        path.touch()
    found = checkout.check_manifest(settings)
    assert found.level == level
    assert (found.hint is None) == (level == "PASS")
