from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from orchestration.errors import ConfigError
from orchestration.settings import Settings
from tests.unit.settings.samples import AZURE, MINIO, POLARIS, S3


def test_paths_are_in_the_state_folder_of_the_instance() -> None:
    settings = Settings(repo_root=Path("/repo"), instance="blue")
    home = Path("/repo/.millrace/blue")
    assert (settings.instance_dir, settings.gold_path) == (home, home / "gold.duckdb")
    assert (settings.dagster_home, settings.stack_env_path) == (home / "dagster_home", home / "stack.env")
    assert (settings.data_path, settings.warehouse) == (str(home / "data"), f"file://{home}/warehouse/")
    assert settings.metrics_path.is_relative_to(home)


def test_relative_folders_are_relative_to_the_checkout() -> None:
    settings = Settings(repo_root=Path("/repo"), state_dir=Path("state"), metrics_path=Path("m.json"))
    assert (settings.state_dir, settings.metrics_path) == (Path("/repo/state"), Path("/repo/m.json"))


def test_endpoints_follow_their_ports() -> None:
    settings = Settings(kafka_port=1, flink_rest_port=2, flink_sql_gateway_port=3, catalog_port=4)
    assert settings.broker_url == "127.0.0.1:1"
    assert settings.flink_rest_url == "http://127.0.0.1:2"
    assert settings.flink_sql_gateway_url == "http://127.0.0.1:3"
    assert settings.catalog_uri == "http://127.0.0.1:4"


def test_the_embedded_catalog_keeps_tables_on_s3_too() -> None:
    lake: dict[str, Any] = {"storage": "s3", "warehouse": "s3://lake/", "catalog_port": 4}
    assert Settings(**lake).catalog_uri == "http://127.0.0.1:4"
    with pytest.raises(ConfigError, match="CATALOG=rest needs CATALOG_URI"):
        Settings(**lake, profile="aws")


@pytest.mark.parametrize(
    ("storage", "given", "normal"),
    [
        ("file", "file:///x/wh", "file:///x/wh/"),
        ("file", "file:///x/wh///", "file:///x/wh/"),
        ("s3", "s3a://lake", "s3a://lake/"),
        ("s3", "s3://lake/", "s3://lake/"),
    ],
)
def test_the_warehouse_ends_with_one_slash(storage: str, given: str, normal: str) -> None:
    assert Settings(storage=storage, warehouse=given, catalog_uri="http://c").warehouse == normal  # pyright: ignore


@pytest.mark.parametrize(
    ("given", "for_duckdb"),
    [("s3a://lake/wh/", "s3://lake/wh/"), ("s3://lake/", "s3://lake/"), ("s3://s3a/", "s3://s3a/")],
)
def test_duckdb_gets_s3_for_s3a(given: str, for_duckdb: str) -> None:
    assert Settings(**{**S3, "warehouse": given}).duckdb_warehouse == for_duckdb


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"s3_endpoint": "http://minio:9000"}, ("minio:9000", False, False, True)),
        ({"s3_endpoint": "https://minio:9000/"}, ("minio:9000", True, True, True)),
        ({"s3_endpoint": "HTTPS://s3.eu-west-1.amazonaws.com"}, ("s3.eu-west-1.amazonaws.com", True, True, False)),
        ({"s3_endpoint": "http://minio:9000", "duckdb_s3_endpoint": "other:1"}, ("other:1", False, False, True)),
        ({"s3_endpoint": "http://minio:9000", "duckdb_s3_use_ssl": True}, ("minio:9000", False, True, True)),
        ({"s3_endpoint": None}, (None, True, True, False)),
    ],
    ids=["plain", "tls", "aws", "own duckdb", "own tls", "none"],
)
def test_the_object_store_of_duckdb_follows_that_of_flink(values: dict[str, Any], expected: tuple[object, ...]) -> None:
    settings = Settings(**{**MINIO, **values})
    derived = (settings.duckdb_s3_endpoint, settings.s3_use_ssl, settings.duckdb_s3_use_ssl, settings.s3_path_style)
    assert derived == expected


@pytest.mark.parametrize(
    ("values", "key", "secret"),
    [
        ({}, None, None),
        ({"minio_root_user": "m", "minio_root_password": "n"}, "m", "n"),
        ({"aws_access_key_id": "k", "aws_secret_access_key": "s"}, "k", "s"),
        (
            {
                "aws_access_key_id": "k",
                "aws_secret_access_key": "s",
                "minio_root_user": "m",
                "minio_root_password": "n",
            },
            "k",
            "s",
        ),
        ({"aws_access_key_id": "", "aws_secret_access_key": " "}, None, None),
    ],
    ids=["none", "minio", "aws", "both", "blank"],
)
def test_cfg_20_effective_keys_are_the_aws_ones_else_minios_else_none(
    values: dict[str, str], key: str | None, secret: str | None
) -> None:
    settings = Settings(**values)
    assert settings.access_key_id == key
    assert (settings.secret_access_key.get_secret_value() if settings.secret_access_key else None) == secret


def test_changed_settings_are_checked_and_derive_again() -> None:
    settings = Settings(repo_root=Path("/repo")).with_changes(instance="blue", kafka_port=7)
    assert (settings.broker_url, settings.data_path) == ("127.0.0.1:7", "/repo/.millrace/blue/data")
    with pytest.raises(ConfigError, match="UI_PORT"):
        settings.with_changes(ui_port=7)


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Settings().topic = "x"  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize("text", ["true", "1", "yes", "on", " True ", "TRUE\t"], ids=repr)
def test_a_boolean_has_the_usual_spellings(text: str) -> None:
    assert Settings(allow_empty=text).allow_empty is True  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({**MINIO, "s3_path_style": False}, "S3_PATH_STYLE=false with S3_ENDPOINT=http://minio:9000"),
        ({"s3_endpoint": "http://minio:9000"}, "settings for S3 are not used by STORAGE=file"),
        ({"catalog": "hadoop"}, "CATALOG=hadoop can only be read"),
        ({"catalog_realm": "r"}, "CATALOG_REALM is not used by CATALOG=rest"),
        ({"flink_parallelism": 9, "topic_partitions": 16}, "FLINK_PARALLELISM=9 is above FLINK_TASK_SLOTS=8"),
        ({"topic_partitions": 1}, "FLINK_PARALLELISM=2 is above TOPIC_PARTITIONS=1"),
        (
            {**MINIO, "s3_endpoint": "http://localhost:9000", "flink_rest_url": "http://flink:8081"},
            "Flink runs on another machine",
        ),
        (
            {"flink_rest_url": "http://flink:8081"},
            "CATALOG_URI=http://127.0.0.1:8181, and Flink runs on another machine",
        ),
    ],
    ids=["cfg-16 path style", "unused s3", "hadoop", "realm", "slots", "partitions", "g-08 store", "g-08 catalog"],
)
def test_what_is_probably_not_meant_is_a_warning(values: dict[str, Any], said: str) -> None:
    [warning] = Settings(**values).warnings()
    assert said in warning


@pytest.mark.parametrize("values", [{}, S3, MINIO, AZURE, POLARIS], ids=["file", "s3", "minio", "azure", "polaris"])
def test_sound_settings_give_no_warning(values: dict[str, str]) -> None:
    assert Settings(**values).warnings() == []
