"""`millrace compile`, `platform`, `schema`: exit codes, JSON, and that nothing is written when a file is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from orchestration.cli.main import run
from tests.contract.checkout import ROOT

PLANTED = "planted-4711-value"


@pytest.fixture(autouse=True)
def _own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MILLRACE_PLATFORM_ENV", "MILLRACE_PLATFORM_FILE", "MILLRACE_PROFILE", "POLARIS_CLIENT_ID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MILLRACE_STATE_DIR", str(tmp_path / "state"))


def answer(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> Any:
    assert run([*arguments, "--json"]) == code
    return json.loads(capsys.readouterr().out)


def test_compile_writes_once_and_check_agrees(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "out"
    first = answer(capsys, "compile", "--env", "prod", "--output", str(folder))
    assert (first["environment"], first["written"]) == ("prod", ["profiles.yml", "resources.yml"])
    assert set(first["inputs"]) == {"millrace.yaml", "platform/platform.yaml"}
    assert answer(capsys, "compile", "--env", "prod", "--output", str(folder))["written"] == []
    assert answer(capsys, "compile", "--env", "prod", "--output", str(folder), "--check")["written"] == []
    answer(capsys, "compile", "--env", "dev", "--output", str(folder), "--check", code=1)


def test_a_refused_file_exits_with_2_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "platform.yaml"
    broken.write_text((ROOT / "platform" / "platform.yaml").read_text().replace("mode: oauth2", "mode: oauth"))
    monkeypatch.setenv("MILLRACE_PLATFORM_FILE", str(broken))
    folder = tmp_path / "out"
    assert run(["compile", "--env", "prod", "--output", str(folder)]) == 2
    shown = capsys.readouterr()
    assert "at catalogs.default.credentials.mode, this value is not known; write one of static, oauth2" in shown.err
    assert shown.out == ""
    assert not folder.exists()


def test_validate_checks_every_environment(capsys: pytest.CaptureFixture[str]) -> None:
    found = answer(capsys, "platform", "validate")
    assert found["environments"] == ["dev", "local", "prod", "staging"]


def test_profiles_lists_what_the_project_can_name(capsys: pytest.CaptureFixture[str]) -> None:
    found = answer(capsys, "platform", "profiles", "--env", "prod")
    used = {row["kind"]: row["name"] for row in found["profiles"] if row["used"]}
    assert used == {
        "catalog": "default",
        "storage": "default",
        "compute": "default",
        "resource_profile": "transform",
    }


def test_explain_tells_value_and_origin(capsys: pytest.CaptureFixture[str]) -> None:
    found = answer(capsys, "platform", "explain", "duckdb.memory_limit", "--env", "prod")
    assert found["value"] == "8232MiB"
    assert "infrastructure.resource_profiles.transform" in found["origin"]
    same = answer(capsys, "config", "explain", "DUCKDB_MEMORY_LIMIT", "--env", "prod")
    assert same == found
    answer(capsys, "config", "explain", "NO_SUCH_SETTING", code=3)


@pytest.mark.parametrize("command", ["check", "bootstrap"])
def test_a_missing_secret_ends_it_before_any_service_is_asked(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POLARIS_CLIENT_SECRET", PLANTED)
    assert run(["platform", command, "--env", "prod"]) == 2
    shown = capsys.readouterr()
    assert "'polaris-client-id'" in shown.err
    assert "variable POLARIS_CLIENT_ID" in shown.err
    assert PLANTED not in shown.err + shown.out


def test_schemas_are_exported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = answer(capsys, "schema", "export", "--output", str(tmp_path))
    assert [Path(path).name for path in found["written"]] == ["millrace.schema.json", "platform.schema.json"]
    assert all(json.loads(Path(path).read_text())["$schema"] for path in found["written"])
