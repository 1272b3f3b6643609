from __future__ import annotations

from typing import Any

import pytest

from orchestration.errors import ConfigError
from orchestration.flink.tables.connectors import CONNECTORS


@pytest.mark.parametrize(
    ("connector", "options"),
    [
        (
            "kafka",
            {"topic": "t", "properties.linger.ms": "5", "key.format": "json", "key.json.map-null-key.mode": "DROP"},
        ),
        ("kafka", {"value.format": "csv", "value.csv.field-delimiter": ";"}),
        ("upsert-kafka", {"value.format": "json", "value.json.ignore-parse-errors": "true"}),
        ("filesystem", {"format": "csv", "csv.null-literal": "-", "sink.rolling-policy.file-size": "1MB"}),
        ("filesystem", {"format": "parquet", "parquet.compression": "SNAPPY"}),
        ("jdbc", {"properties.ssl": "true", "sink.max-retries": "3"}),
        ("iceberg", {"write.parquet.row-group-size-bytes": "1", "commit.retry.num-retries": "2"}),
        ("datagen", {"fields.id.kind": "sequence", "number-of-rows": "3"}),
        ("print", {"print-identifier": "x"}),
        ("blackhole", {}),
    ],
)
def test_options_that_a_connector_has_pass(connector: str, options: dict[str, str]) -> None:
    CONNECTORS[connector].check_options(options)


@pytest.mark.parametrize(
    ("connector", "options", "hint"),
    [
        ("kafka", {"topics": "t"}, "did you mean 'topic'?"),
        ("kafka", {"sink.delivery-guarante": "x"}, "did you mean 'sink.delivery-guarantee'?"),
        ("kafka", {"property.bootstrap.servers": "x"}, None),
        ("kafka", {"format": "json", "csv.null-literal": "-"}, None),
        ("upsert-kafka", {"scan.startup.mode": "latest-offset"}, None),
        ("upsert-kafka", {"format": "json"}, None),
        (
            "filesystem",
            {"sink.rolling-policy.rollover": "1 s"},
            "did you mean 'sink.rolling-policy.rollover-interval'?",
        ),
        ("jdbc", {"user": "x"}, None),
        ("iceberg", {"write.upsert.enable": "true"}, "did you mean 'write.upsert.enabled'?"),
        ("datagen", {"fields.id.mean": "1"}, None),
    ],
)
def test_an_unknown_option_is_refused_with_the_closest_one(
    connector: str, options: dict[str, str], hint: str | None
) -> None:
    with pytest.raises(ConfigError, match=f"connector {connector} has no option") as caught:
        CONNECTORS[connector].check_options(options)
    assert caught.value.code == "connector_option_invalid"
    assert caught.value.hint is not None
    assert hint is None or caught.value.hint == hint


def test_a_hint_without_a_close_option_lists_them() -> None:
    with pytest.raises(ConfigError) as caught:
        CONNECTORS["print"].check_options({"zzz": "1"})
    assert "print-identifier" in str(caught.value.hint)


def test_an_unknown_format_is_refused() -> None:
    with pytest.raises(ConfigError, match="format is 'jsno'") as caught:
        CONNECTORS["filesystem"].check_options({"format": "jsno"})
    assert caught.value.hint == "formats: json, csv, parquet"


def test_models_are_frozen() -> None:
    connector: Any = CONNECTORS["kafka"]
    with pytest.raises(AttributeError):
        connector.name = "x"
