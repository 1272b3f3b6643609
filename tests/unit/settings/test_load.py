from collections.abc import Mapping
from pathlib import Path

import pytest
from pydantic import SecretStr

from orchestration.errors import ConfigError
from orchestration.settings import Settings, load_settings, names, rules


def test_cfg_09_the_constructor_reads_neither_files_nor_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = Settings(cache_dir=Path("/c"))
    for field in Settings.model_fields:
        monkeypatch.setenv(names.env_name(field), "nonsense")
        monkeypatch.setenv(field.upper(), "nonsense")
    assert Settings(cache_dir=Path("/c")) == plain


def test_cfg_09_unknown_names_are_ignored_by_the_constructor_and_in_the_environment(checkout: Path) -> None:
    assert Settings(no_such_setting=1) == Settings()  # pyright: ignore[reportCallIssue]
    assert load_settings(environ={"NO_SUCH_SETTING": "1"}, repo_root=checkout).warnings() == []


def test_cfg_06_environment_beats_stack_env_beats_profile_beats_default(checkout: Path) -> None:
    state = checkout / ".millrace" / "default"
    state.mkdir(parents=True)
    (checkout / ".env").write_text("# local: x\nKAFKA_PORT=1\nUI_PORT=2\nCATALOG_PORT=3\n")
    (state / "stack.env").write_text("UI_PORT=20\nCATALOG_PORT=30\n")
    settings = load_settings(environ={"CATALOG_PORT": "300"}, repo_root=checkout)
    ports = ("kafka_port", "ui_port", "catalog_port", "flink_rest_port")
    assert [getattr(settings, port) for port in ports] == [1, 20, 300, 8081]
    assert [settings.source_of(port) for port in ports] == [".env", "stack.env", "environment", "default"]


def test_endpoints_that_up_chose_do_not_reach_a_profile_with_services_elsewhere(checkout: Path) -> None:
    state = checkout / ".millrace" / "default"
    state.mkdir(parents=True)
    (state / "stack.env").write_text("BROKER_URL=127.0.0.1:5555\n")
    assert load_settings("aws", environ={}, repo_root=checkout).broker_url == "kafka:9092"
    assert load_settings(environ={}, repo_root=checkout).broker_url == "127.0.0.1:5555"


def test_each_instance_has_a_stack_env_of_its_own(checkout: Path) -> None:
    state = checkout / "elsewhere" / "blue"
    state.mkdir(parents=True)
    (state / "stack.env").write_text("UI_PORT=3001\n")
    environ = {"MILLRACE_STATE_DIR": str(checkout / "elsewhere"), "MILLRACE_INSTANCE": "blue"}
    assert load_settings(environ=environ, repo_root=checkout).ui_port == 3001
    assert load_settings(instance="green", environ=environ, repo_root=checkout).ui_port == 3000


@pytest.mark.parametrize(
    ("argument", "environ", "dot_env", "name", "topic"),
    [
        (None, {}, False, "local", "from.local"),
        (None, {}, True, "aws", "from.env"),
        (None, {"MILLRACE_PROFILE": "aws"}, False, "aws", "from.profile"),
        (None, {"MILLRACE_PROFILE": "local"}, True, "local", "from.local"),
        ("aws", {"MILLRACE_PROFILE": "local"}, True, "aws", "from.profile"),
        (None, {"MILLRACE_PROFILE": ""}, True, "aws", "from.env"),
    ],
)
def test_cfg_05_the_profile_is_the_argument_else_the_environment_else_dot_env_else_local(
    checkout: Path, argument: str | None, environ: Mapping[str, str], dot_env: bool, name: str, topic: str
) -> None:
    if dot_env:
        (checkout / ".env").write_text("# aws: copied\nTOPIC=from.env\n")
    settings = load_settings(argument, environ=environ, repo_root=checkout)
    assert (settings.profile, settings.topic) == (name, topic)


def test_a_profile_is_also_a_path(checkout: Path) -> None:
    mine = checkout / "secrets" / "prod.env"
    mine.parent.mkdir()
    mine.write_text("TOPIC=from.prod\n")
    settings = load_settings(str(mine), environ={}, repo_root=checkout)
    assert (settings.profile, settings.topic, settings.source_of("topic")) == ("prod", "from.prod", "prod.env")


def test_a_dot_env_of_unknown_origin_is_called_custom(checkout: Path) -> None:
    (checkout / ".env").write_text("TOPIC=x\n")
    assert load_settings(environ={}, repo_root=checkout).profile == "custom"


def test_an_unknown_profile_is_refused_with_a_suggestion(checkout: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_settings("asw", environ={}, repo_root=checkout)
    assert str(caught.value) == "there is no profile 'asw' in platform/profiles (did you mean aws?)"


def test_local_needs_no_file(tmp_path: Path) -> None:
    assert load_settings("local", environ={}, repo_root=tmp_path).profile == "local"
    assert load_settings(environ={}, repo_root=tmp_path).profile == "local"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("KAFKA_PRT=1", "KAFKA_PRT in .env is not a setting: did you mean KAFKA_PORT?"),
        ("CATALOG_URL=x", "CATALOG_URL in .env is not a setting: did you mean CATALOG_URI?"),
        ("broker=kafka", "broker in .env is not a setting: did you mean BROKER?"),
        ("SCHEMA_PATH=x", "SCHEMA_PATH in .env is no setting any more: the schema is the dataset's contract"),
        ("BRONZE_TABLE=b.c", "BRONZE_TABLE in .env is no setting any more: tables are named in the dataset's contract"),
    ],
    ids=lambda value: value.split("=")[0],
)
def test_a_misspelled_or_retired_name_in_a_profile_is_refused(checkout: Path, line: str, said: str) -> None:
    (checkout / ".env").write_text(f"# local: x\n{line}\n")
    with pytest.raises(ConfigError) as caught:
        load_settings(environ={}, repo_root=checkout)
    assert caught.value.message.startswith(said)


def test_another_unknown_name_in_a_profile_is_a_warning(checkout: Path) -> None:
    (checkout / ".env").write_text("# local: x\nCOMPOSE_PROJECT_NAME=x\n")
    said = ["COMPOSE_PROJECT_NAME in .env is not a setting of millrace and is ignored"]
    assert load_settings(environ={}, repo_root=checkout).warnings() == said


def test_a_retired_name_in_the_environment_is_a_warning(checkout: Path) -> None:
    warnings = load_settings(environ={"HOST_DATA_DIR": "x"}, repo_root=checkout).warnings()
    assert warnings == ["HOST_DATA_DIR in the environment is ignored; DATA_PATH names the file or folder itself"]


OLDER = {name: field for name, field in names.ALIASES.items() if not field.startswith("platform_")}


@pytest.mark.parametrize(("second", "field"), OLDER.items(), ids=OLDER)
def test_names_of_older_deployments_keep_their_meaning(checkout: Path, second: str, field: str) -> None:
    is_seconds = field.endswith("_s")
    text = "7" if is_seconds else "http://abc:1" if field in rules.URLS else "abc"
    settings = load_settings(environ={second: text}, repo_root=checkout)
    assert getattr(settings, field) == (7 if is_seconds else text)


def test_of_a_first_and_a_second_name_the_first_wins(checkout: Path) -> None:
    environ = {"HTTP_TIMEOUT_S": "3", "HEALTH_HTTP_TIMEOUT_SECONDS": "9"}
    assert load_settings(environ=environ, repo_root=checkout).http_timeout_s == 3


@pytest.mark.parametrize(
    "value", ["a'b", 'a"b', "${HOME}", "$HOME", "a#b", "a b", "a=b", "größe", "a\\b", "%41", "{{x}}", "`x`"]
)
def test_a_value_of_the_environment_is_taken_as_it_is(checkout: Path, value: str) -> None:
    environ = {"KEY_FIELD": value, "CATALOG_CLIENT_ID": "id", "CATALOG_CLIENT_SECRET": f" {value} "}
    settings = load_settings(environ=environ, repo_root=checkout)
    assert settings.key_field == value
    assert settings.catalog_client_secret == SecretStr(f" {value} ")


def test_a_relative_data_path_is_absolute_for_every_process(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (checkout / "work").mkdir()
    monkeypatch.chdir(checkout / "work")
    assert load_settings(environ={"DATA_PATH": "a.parquet"}, repo_root=checkout).data_path == str(
        checkout / "work" / "a.parquet"
    )
    (checkout / ".env").write_text("# local: x\nDATA_PATH=data/*.parquet\n")
    assert load_settings(environ={}, repo_root=checkout).data_path == str(checkout / "data" / "*.parquet")


def test_an_address_of_data_stays_as_it_is(checkout: Path) -> None:
    assert load_settings(environ={"DATA_PATH": "s3://b/x/"}, repo_root=checkout).data_path == "s3://b/x/"


@pytest.mark.parametrize(
    ("environ", "cache"),
    [
        ({"HOME": "/h"}, "/h/.cache/millrace"),
        ({"HOME": "/h", "XDG_CACHE_HOME": "/x"}, "/x/millrace"),
        ({"HOME": "/h", "XDG_CACHE_HOME": "/x", "MILLRACE_CACHE": "/m"}, "/m"),
    ],
    ids=["home", "xdg", "explicit"],
)
def test_the_cache_is_shared_by_checkouts(checkout: Path, environ: Mapping[str, str], cache: str) -> None:
    assert load_settings(environ=environ, repo_root=checkout).cache_dir == Path(cache)


def test_a_child_process_loads_the_same_settings(checkout: Path) -> None:
    (checkout / ".env").write_text("# aws: x\nTOPIC=x\n")
    parent = load_settings(instance="blue", environ={}, repo_root=checkout)
    (checkout / "sub").mkdir()
    child = load_settings(environ=parent.child_environ(), repo_root=checkout)
    assert (child.profile, child.instance, child.topic, child.state_dir) == ("aws", "blue", "x", parent.state_dir)
