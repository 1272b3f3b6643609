import json
import stat
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from orchestration import redaction
from orchestration.cli.config import app
from orchestration.errors import ConfigError
from orchestration.settings import Settings, names

PLANTED = "Zq7Xw9Vk"
RUNNER = CliRunner()


@pytest.fixture(autouse=True)
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout of its own with three profiles, in an environment without settings."""
    for field in Settings.model_fields:
        monkeypatch.delenv(names.env_name(field), raising=False)
    monkeypatch.setattr("orchestration.settings.load.checkout", lambda: tmp_path)
    monkeypatch.setattr(redaction, "_remembered", set())
    profiles = tmp_path / "platform" / "profiles"
    profiles.mkdir(parents=True)
    axes = "BROKER=kafka\nCATALOG=rest\nSTORAGE=file\nMODE=batch\n"
    (profiles / "local.env").write_text(f"# local: on this machine\n{axes}")
    (profiles / "prod.env").write_text(
        "# prod: far away\nSTORAGE=s3\nWAREHOUSE=s3://<bucket>/\nCATALOG_URI=http://c:1\n"
    )
    (profiles / "mine.env").write_text("# no name in it\nTOPIC=mine\n")
    (tmp_path / "platform" / "datasets" / "taxi").mkdir(parents=True)
    (tmp_path / "platform" / "datasets" / "taxi" / "dataset.yml").touch()
    return tmp_path


def run(*args: str, exit_code: int = 0, env: dict[str, str] | None = None) -> str:
    """Run `millrace config ...` and return its standard output; what it warns of goes elsewhere."""
    result = RUNNER.invoke(app, args, env=env or {}, catch_exceptions=False)
    assert result.exit_code == exit_code, result.output
    return result.stdout


def run_json(*args: str, exit_code: int = 0, env: dict[str, str] | None = None) -> Any:
    return json.loads(run(*args, "--json", exit_code=exit_code, env=env))


def test_cfg_18_show_prints_every_setting_with_its_source() -> None:
    lines = run("show", env={"UI_PORT": "3001"}).splitlines()
    assert len(lines) == len(Settings.model_fields)
    by_name = {line.split()[0]: line.split()[1:] for line in lines}
    assert by_name["UI_PORT"] == ["3001", "environment"]
    assert by_name["BROKER"] == ["kafka", "local.env"]
    assert by_name["KAFKA_PORT"] == ["9092", "default"]
    assert by_name["TOPIC"] == ["-", "default"]


def test_cfg_18_brackets_expose_stray_blanks() -> None:
    lines = run("show", "--raw-brackets", env={"CATALOG_SCOPE": "all "}).splitlines()
    assert "CATALOG_SCOPE=[all ]" in lines
    assert "TOPIC=[]" in lines
    assert "VALIDATE_SCHEMA=[true]" in lines


def test_show_as_json_has_values_and_sources() -> None:
    shown = run_json("show", env={"MILLRACE_INSTANCE": "blue"})
    assert (shown["profile"], shown["instance"], shown["problems"]) == ("local", "blue", [])
    assert shown["settings"]["MILLRACE_INSTANCE"] == {"value": "blue", "source": "environment"}
    assert shown["settings"]["KAFKA_PORT"] == {"value": 9092, "source": "default"}


@pytest.mark.parametrize("args", [("show",), ("show", "--json"), ("show", "--raw-brackets"), ("validate", "--json")])
@pytest.mark.parametrize("broken", [{}, {"KAFKA_PORT": "x"}], ids=["valid", "refused"])
def test_secrets_are_masked(args: tuple[str, ...], broken: dict[str, str]) -> None:
    env = {
        "AWS_ACCESS_KEY_ID": "AK" + PLANTED,
        "AWS_SECRET_ACCESS_KEY": PLANTED,
        "AZURE_STORAGE_KEY": PLANTED,
        **broken,
    }
    result = RUNNER.invoke(app, args, env=env)
    assert PLANTED not in result.output
    assert result.exit_code == (2 if broken else 0)


def test_show_prints_refused_settings_too_and_exits_with_2() -> None:
    result = RUNNER.invoke(app, ["show"], env={"KAFKA_PORT": "x", "STORAGE": "minio"})
    assert result.exit_code == 2
    assert ["KAFKA_PORT", "x", "environment"] in [line.split() for line in result.stdout.splitlines()]
    assert "refused: KAFKA_PORT='x' is refused: write a whole number [environment]" in result.stderr.splitlines()
    assert "it is now spelled STORAGE=s3" in result.stderr


def test_show_takes_a_profile_and_an_instance() -> None:
    shown = run_json("show", "--profile", "mine", "--instance", "green")
    assert (shown["profile"], shown["instance"]) == ("mine", "green")
    assert shown["settings"]["TOPIC"] == {"value": "mine", "source": "mine.env"}


def test_an_unknown_profile_is_one_error() -> None:
    result = RUNNER.invoke(app, ["show", "--profile", "prd"])
    assert isinstance(result.exception, ConfigError)
    assert "did you mean prod?" in str(result.exception)


def test_valid_settings_exit_with_0() -> None:
    assert run("validate") == "profile local, instance default: settings are valid\n"
    assert run_json("validate") == {
        "valid": True,
        "profile": "local",
        "instance": "default",
        "problems": [],
        "warnings": [],
    }


def test_cfg_18_validate_prints_every_problem_and_exits_with_2() -> None:
    result = RUNNER.invoke(app, ["validate"], env={"BROKER": "kafak", "KAFKA_PORT": "0"})
    assert result.exit_code == 2
    assert result.stderr.splitlines() == [
        "refused: KAFKA_PORT='0' is refused: at least 1 [environment]",
        "refused: BROKER='kafak' is refused: one of kafka, redpanda; did you mean kafka? [environment]",
    ]


def test_validate_as_json_names_setting_problem_remedy_and_source() -> None:
    [problem] = run_json("validate", exit_code=2, env={"KAFKA_PORT": "x"})["problems"]
    assert problem == {
        "settings": ["KAFKA_PORT"],
        "problem": "KAFKA_PORT='x' is refused",
        "remedy": "write a whole number",
        "sources": ["environment"],
    }


def test_cfg_15_validate_looks_at_the_files_that_settings_name(checkout: Path) -> None:
    env = {"DATA_PATH": str(checkout / "none.parquet")}
    [problem] = run_json("validate", exit_code=2, env=env)["problems"]
    assert problem["settings"] == ["DATA_PATH"]


def test_warnings_do_not_fail_validation() -> None:
    result = RUNNER.invoke(app, ["validate"], env={"TOPIC_PARTITIONS": "1"})
    assert result.exit_code == 0
    assert "warning: FLINK_PARALLELISM=2 is above TOPIC_PARTITIONS=1" in result.stderr


def test_profiles_are_listed_with_axes_description_and_mark() -> None:
    header, *rows = run("profiles").splitlines()
    assert header.split() == ["PROFILE", "BROKER", "CATALOG", "STORAGE", "MODE", "DESCRIPTION"]
    assert [row.split()[0] for row in rows] == ["*", "mine", "prod"]
    assert rows[0].split() == ["*", "local", "kafka", "rest", "file", "batch", "on", "this", "machine"]


def test_profiles_as_json() -> None:
    listed = run_json("profiles")
    assert [(one["name"], one["description"], one["is_active"]) for one in listed] == [
        ("local", "on this machine", True),
        ("mine", "no name in it", False),
        ("prod", "far away", False),
    ]
    assert listed[0]["axes"] == {"broker": "kafka", "catalog": "rest", "storage": "file", "mode": "batch"}


def test_an_active_file_that_is_no_profile_is_named(checkout: Path) -> None:
    (checkout / ".env").write_text("TOPIC=x\n")
    assert run("profiles").splitlines()[-1] == f"active: {checkout / '.env'}"


def test_cfg_05_use_copies_the_profile_and_prints_the_result(checkout: Path) -> None:
    printed = run("use", "local")
    assert (checkout / ".env").read_bytes() == (checkout / "platform" / "profiles" / "local.env").read_bytes()
    assert ["BROKER", "kafka", ".env"] in [line.split() for line in printed.splitlines()]
    assert printed.splitlines()[-1] == "profile local is in .env"


def test_use_writes_a_file_that_only_its_owner_reads_and_leaves_nothing_else(checkout: Path) -> None:
    before = {path.name for path in checkout.iterdir()}
    run("use", "local")
    assert stat.S_IMODE((checkout / ".env").stat().st_mode) == 0o600
    assert {path.name for path in checkout.iterdir()} - before == {".env"}


def test_use_says_what_is_to_be_filled_in() -> None:
    result = RUNNER.invoke(app, ["use", "prod"])
    assert result.exit_code == 0
    assert "profile prod is in .env; still to be filled in there:" in result.stdout
    assert "WAREHOUSE still holds the placeholder <bucket>" in result.stderr


def test_a_profile_that_does_not_name_itself_is_named_in_the_copy(checkout: Path) -> None:
    assert run_json("use", "mine")["profile"] == "mine"
    first, *rest = (checkout / ".env").read_text().splitlines()
    assert first.startswith("# mine: ")
    assert rest == ["# no name in it", "TOPIC=mine"]
    assert next(one for one in run_json("profiles") if one["is_active"])["name"] == "mine"


def test_use_keeps_an_edited_file(checkout: Path) -> None:
    (checkout / ".env").write_text("CATALOG_CLIENT_SECRET=only here\n")
    assert run_json("use", "local")["backup"] == ".env.bak"
    assert (checkout / ".env.bak").read_text() == "CATALOG_CLIENT_SECRET=only here\n"


def test_use_replaces_an_untouched_copy_without_a_backup(checkout: Path) -> None:
    run("use", "prod")
    assert run_json("use", "local")["backup"] is None
    assert not (checkout / ".env.bak").exists()


def test_use_of_an_unknown_profile_changes_nothing(checkout: Path) -> None:
    (checkout / ".env").write_text("TOPIC=x\n")
    for name in ("nothing", "../x", "a/b.env"):
        result = RUNNER.invoke(app, ["use", name])
        assert isinstance(result.exception, ConfigError)
    assert (checkout / ".env").read_text() == "TOPIC=x\n"


def test_use_says_that_the_environment_overrides_the_file() -> None:
    result = RUNNER.invoke(app, ["use", "mine"], env={"MILLRACE_PROFILE": "local"})
    assert "MILLRACE_PROFILE=local in the environment overrides .env" in result.stderr


@pytest.mark.parametrize("command", ["show", "validate", "profiles", "use"])
def test_help_has_an_example(command: str) -> None:
    assert f"millrace config {command}" in run(command, "--help")
