"""Names and spellings of settings in the environment and in profile files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any

from pydantic import SecretStr

AXES = ("broker", "catalog", "storage", "mode")

_SPECIAL = {
    "instance": "MILLRACE_INSTANCE",
    "profile": "MILLRACE_PROFILE",
    "state_dir": "MILLRACE_STATE_DIR",
    "cache_dir": "MILLRACE_CACHE",
    "repo_root": "MILLRACE_ROOT",
    "secrets_dir": "MILLRACE_SECRETS_DIR",
    "platform_env": "MILLRACE_PLATFORM_ENV",
    "platform_file": "MILLRACE_PLATFORM_FILE",
}
"""Settings whose plain upper-case name would be too common to take from an environment."""

ALIASES = {
    "HEALTH_HTTP_TIMEOUT_SECONDS": "http_timeout_s",
    "HEALTH_DOCKER_TIMEOUT_SECONDS": "broker_timeout_s",
    "ICEBERG_QUERY_TIMEOUT_SECONDS": "iceberg_query_timeout_s",
    "ICEBERG_METADATA_TIMEOUT_SECONDS": "iceberg_metadata_timeout_s",
    "DLQ_READ_TIMEOUT_SECONDS": "dlq_read_timeout_s",
    "DBT_TEST_TIMEOUT_SECONDS": "dbt_test_timeout_s",
    "WAIT_FOR_SILVER_TIMEOUT_SECONDS": "wait_for_silver_timeout_s",
    "WAIT_FOR_SILVER_POLL_SECONDS": "wait_for_silver_poll_s",
    "DATASET_NAME": "dataset",
    "SQL_ENGINE_FETCH_TIMEOUT": "sql_engine_fetch_limit_s",
    "AWS_DEFAULT_REGION": "aws_region",
    "FLOE_PLATFORM_ENV": "platform_env",
    "FLOE_PLATFORM_FILE": "platform_file",
    "FLOE_CATALOG_URI": "catalog_uri",
    "FLOE_CATALOG_WAREHOUSE": "catalog_warehouse",
    "FLOE_POLARIS_URI": "catalog_uri",
    "FLOE_POLARIS_WAREHOUSE": "catalog_warehouse",
    "POLARIS_SCOPE": "catalog_scope",
    "FLOE_S3_ENDPOINT": "s3_endpoint",
    "FLOE_STORAGE_ENDPOINT": "s3_endpoint",
    "FLOE_S3_REGION": "aws_region",
}
"""Second names, so that an environment made for older deployments keeps its meaning."""

SAME = (
    ("FLOE_POLARIS_URI", "FLOE_CATALOG_URI"),
    ("FLOE_POLARIS_WAREHOUSE", "FLOE_CATALOG_WAREHOUSE"),
    ("FLOE_STORAGE_ENDPOINT", "FLOE_S3_ENDPOINT"),
)
"""Second names of one thing: two different values would leave open which counts."""

RETIRED = {
    "SCHEMA_PATH": "the schema is the dataset's contract, platform/datasets/<dataset>/dataset.yml",
    "BRONZE_TABLE": "tables are named in the dataset's contract, platform/datasets/<dataset>/dataset.yml",
    "SILVER_TABLE": "tables are named in the dataset's contract, platform/datasets/<dataset>/dataset.yml",
    "HOST_DATA_DIR": "DATA_PATH names the file or folder itself",
}
"""Names that used to mean something; a profile that still sets one would be misread."""

OLD_VALUES = {
    ("storage", "minio"): "STORAGE=s3 with S3_ENDPOINT=http://<host>:9000 (profile minio)",
    ("storage", "aws_s3"): "STORAGE=s3",
    ("mode", "streaming_bronze"): "MODE=streaming",
}


def env_name(field: str) -> str:
    """Return the name of a setting in the environment and in files."""
    return _SPECIAL.get(field, field.upper())


def field_names(fields: Iterable[str]) -> dict[str, str]:
    """Return environment name -> field name for `fields`, second names included."""
    known = {env_name(field): field for field in fields if field != "repo_root"}
    short = {name.removesuffix("_S"): field for name, field in known.items() if field.startswith("sql_engine_")}
    return ALIASES | short | known


def closest(name: str, known: Iterable[str], cutoff: float = 0.75) -> str | None:
    """Return the known name that `name` was probably meant to be, or None."""
    return next(iter(get_close_matches(name, list(known), n=1, cutoff=cutoff)), None)


def shown(value: object) -> str:
    """Return a value for an error text: repr, shortened, secrets masked."""
    if isinstance(value, SecretStr):
        return repr(str(value))
    text = repr(value)
    return text if len(text) <= 120 else f"{text[:117]}..."


def clean(values: Mapping[str, Any], optional: frozenset[str], secret: frozenset[str]) -> dict[str, Any]:
    """Return constructor arguments with stray blanks and blank optional values removed.

    Axis values lose their blanks (a Makefile leaves them); an optional setting that is blank counts as not given, so
    that `AWS_ACCESS_KEY_ID=` in a profile means role-based access. Secrets are never stripped.
    """
    result: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, str):
            if name in AXES:
                value = value.strip()
            if name in optional and not value.strip():
                continue
            if name not in secret and value.strip().lower() in {"true", "false", "yes", "no", "on", "off"}:
                value = value.strip()
        elif isinstance(value, SecretStr) and not value.get_secret_value():
            continue
        result[name] = value
    return result
