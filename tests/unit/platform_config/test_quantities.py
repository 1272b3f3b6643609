"""Sizes: Kubernetes' and DuckDB's spelling, and the limit of the container by cgroup."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest
from pydantic import ValidationError

from orchestration.platform_config.quantities import (
    canonical_size,
    container_limit,
    duckdb_share,
    parse_duckdb_size,
    parse_quantity,
)
from orchestration.platform_config.resources import ResourceProfile

GIB = 1 << 30


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *(("500m", "0.5"), ("2", "2"), ("1.5", "1.5"), ("12Gi", str(12 * GIB)), ("512Mi", str(512 << 20))),
        *(("8G", "8000000000"), ("8M", "8000000"), ("1k", "1000"), ("4Ki", "4096")),
    ],
)
def test_a_quantity_is_a_number(text: str, value: str) -> None:
    assert parse_quantity(text) == Decimal(value)


@pytest.mark.parametrize("text", ["", "8GB", "-1", "1 Gi", "Gi", "8g"])
def test_what_kubernetes_refuses_is_no_quantity(text: str) -> None:
    with pytest.raises(ValueError, match="is no quantity"):
        parse_quantity(text)


@pytest.mark.parametrize(
    ("text", "size"), [("8GB", 8 * 10**9), ("8GiB", 8 * GIB), ("1.5 MiB", 1572864), ("10kb", 10_000), ("1tib", 1 << 40)]
)
def test_duckdb_counts_gb_in_thousands_and_gib_in_1024(text: str, size: int) -> None:
    assert parse_duckdb_size(text) == size


@pytest.mark.parametrize("text", ["8Gi", "8", "8 gigs", "GB", "-8GB"])
def test_what_duckdb_refuses_is_no_size(text: str) -> None:
    with pytest.raises(ValueError, match="is no size that DuckDB knows"):
        parse_duckdb_size(text)


@pytest.mark.parametrize(("text", "same"), [("8gib", "8GiB"), ("8 GB", "8GB"), ("1.5kB", "1.5KB")])
def test_a_size_is_written_in_one_way(text: str, same: str) -> None:
    assert canonical_size(text) == same


def test_res_01_duckdb_gets_67_percent_of_12_gib() -> None:
    assert duckdb_share(12 * GIB) == "8232MiB"


def write(root: Path, name: str, text: str) -> None:
    path = root / "sys" / "fs" / "cgroup" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.mark.parametrize(
    ("name", "text", "limit"),
    [
        pytest.param("memory.max", f"{2 * GIB}\n", 2 * GIB, id="v2"),
        pytest.param("memory.max", "max\n", None, id="v2 without a limit"),
        pytest.param("memory/memory.limit_in_bytes", f"{12 * GIB}\n", 12 * GIB, id="v1"),
        pytest.param("memory/memory.limit_in_bytes", "9223372036854771712\n", None, id="v1 without a limit"),
        pytest.param("other", "1", None, id="no cgroup"),
    ],
)
def test_the_container_says_how_much_memory_it_has(tmp_path: Path, name: str, text: str, limit: int | None) -> None:
    write(tmp_path, name, text)
    assert container_limit(tmp_path) == limit


def test_the_described_profile_gives_duckdb_its_share_and_pods_their_resources() -> None:
    profile = ResourceProfile.model_validate(
        {
            "requests": {"cpu": "1000m", "memory": "4Gi"},
            "limits": {"cpu": "8000m", "memory": "12Gi"},
            "env": {"DUCKDB_THREADS": 4, "DUCKDB_TEMP_DIRECTORY": "/tmp/duckdb"},
        }
    )
    assert profile.settings() == {
        "DUCKDB_MEMORY_LIMIT": "8232MiB",
        "DUCKDB_THREADS": "4",
        "DUCKDB_TEMP_DIRECTORY": "/tmp/duckdb",
    }
    assert profile.container_resources() == {
        "requests": {"cpu": "1000m", "memory": "4Gi"},
        "limits": {"cpu": "8000m", "memory": "12Gi"},
    }


def test_without_threads_a_run_gets_one_for_each_whole_core() -> None:
    assert ResourceProfile.model_validate({"limits": {"cpu": "2500m"}}).settings() == {"DUCKDB_THREADS": "2"}
    assert ResourceProfile.model_validate({"limits": {"cpu": "300m"}}).settings() == {"DUCKDB_THREADS": "1"}


def test_an_empty_profile_says_nothing() -> None:
    assert ResourceProfile().settings() == {}
    assert ResourceProfile().run_tags() == {}


def test_8_gb_fit_into_12_gib_and_9_do_not() -> None:
    limits = {"memory": "12Gi"}
    ResourceProfile.model_validate({"limits": limits, "env": {"DUCKDB_MEMORY_LIMIT": "8GB"}})
    with pytest.raises(ValidationError, match=r"more than 67 % of limits\.memory 12Gi"):
        ResourceProfile.model_validate({"limits": limits, "env": {"DUCKDB_MEMORY_LIMIT": "9GB"}})


def test_a_secret_does_not_stand_in_the_variables_of_a_run() -> None:
    with pytest.raises(ValidationError, match="would hold a secret in clear"):
        ResourceProfile.model_validate({"env": {"DB_PASSWORD": "x"}})
