"""JSON values of the gateway become Python values without loss."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

import pytest

from orchestration.errors import FlinkError
from orchestration.flink.client.models import ColumnInfo, LogicalType
from orchestration.flink.reading.types import column_converter, converter, type_text

INT = {"type": "INTEGER"}
STRING = {"type": "VARCHAR", "length": 2147483647}
LTZ = "TIMESTAMP_WITH_LOCAL_TIME_ZONE"


def flink_type(**fields: object) -> LogicalType:
    return LogicalType.model_validate(fields)


@pytest.mark.parametrize(
    ("type_", "value", "expected"),
    [
        pytest.param(flink_type(**INT), 7, 7, id="int"),
        pytest.param(flink_type(type="BIGINT"), 2**62, 2**62, id="bigint"),
        pytest.param(flink_type(type="BOOLEAN"), True, True, id="boolean"),
        pytest.param(flink_type(type="DECIMAL", precision=10, scale=2), Decimal("1.5"), Decimal("1.50"), id="decimal"),
        pytest.param(flink_type(type="DECIMAL", precision=10, scale=2), 3, Decimal("3.00"), id="decimal-whole"),
        pytest.param(
            flink_type(type="DECIMAL", precision=5, scale=0), Decimal("1E+2"), Decimal(100), id="decimal-exponent"
        ),
        pytest.param(
            flink_type(type="DECIMAL", precision=38, scale=18),
            Decimal("12345678901234567890.123456789012345678"),
            Decimal("12345678901234567890.123456789012345678"),
            id="decimal-38-digits",
        ),
        pytest.param(flink_type(type="DOUBLE"), Decimal("0.1"), 0.1, id="double"),
        pytest.param(flink_type(type="DOUBLE"), "Infinity", float("inf"), id="infinity"),
        pytest.param(flink_type(type="FLOAT"), 1, 1.0, id="float-whole"),
        pytest.param(flink_type(**STRING), "é", "é", id="string"),
        pytest.param(flink_type(type="VARBINARY", length=3), "AQID", b"\x01\x02\x03", id="bytes"),
        pytest.param(flink_type(type="DATE"), "2024-01-02", date(2024, 1, 2), id="date"),
        pytest.param(flink_type(type="TIME_WITHOUT_TIME_ZONE"), "03:04:05", time(3, 4, 5), id="time"),
        pytest.param(
            flink_type(type="TIMESTAMP_WITHOUT_TIME_ZONE", precision=3),
            "2024-01-02T03:04:05.678",
            datetime(2024, 1, 2, 3, 4, 5, 678000),
            id="timestamp-is-naive",
        ),
        pytest.param(
            flink_type(type="TIMESTAMP_WITHOUT_TIME_ZONE", precision=9),
            "2024-01-02T03:04:05.123456789",
            "2024-01-02T03:04:05.123456789",
            id="nanoseconds-stay-text",
        ),
        pytest.param(
            flink_type(type="TIMESTAMP_WITHOUT_TIME_ZONE", precision=3),
            "+12024-01-02T03:04:05",
            "+12024-01-02T03:04:05",
            id="far",
        ),
        pytest.param(
            flink_type(type=LTZ, precision=6),
            "2024-01-02T03:04:05.678Z",
            datetime(2024, 1, 2, 3, 4, 5, 678000, tzinfo=UTC),
            id="ltz-is-utc",
        ),
        pytest.param(flink_type(type="INTERVAL_DAY_TIME"), 90_500, timedelta(seconds=90.5), id="interval-day"),
        pytest.param(flink_type(type="INTERVAL_YEAR_MONTH"), 14, 14, id="interval-month"),
        pytest.param(flink_type(type="ARRAY", elementType=INT), [1, None], [1, None], id="array"),
        pytest.param(flink_type(type="MAP", keyType=STRING, valueType=INT), {"a": 1}, {"a": 1}, id="map"),
        pytest.param(flink_type(type="MULTISET", elementType=STRING), {"a": 2}, {"a": 2}, id="multiset"),
        pytest.param(
            flink_type(
                type="ROW",
                fields=[
                    {"name": "d", "fieldType": {"type": "DATE"}},
                    {"name": "a", "fieldType": {"type": "ARRAY", "elementType": {"type": "DECIMAL", "scale": 1}}},
                ],
            ),
            {"d": "2024-01-02", "a": [Decimal("1.5")]},
            {"d": date(2024, 1, 2), "a": [Decimal("1.5")]},
            id="nested",
        ),
        pytest.param(flink_type(type="RAW"), "x", "x", id="unknown-type"),
        pytest.param(flink_type(type="SOMETHING_NEW"), {"a": [1, None]}, '{"a": [1, null]}', id="unknown-type-nested"),
        pytest.param(
            flink_type(type="MAP", keyType=STRING, valueType={"type": "ARRAY", "elementType": {"type": "DOUBLE"}}),
            {"a": ["-Infinity", Decimal("2.0"), None]},
            {"a": [float("-inf"), 2.0, None]},
            id="map-of-arrays",
        ),
        pytest.param(flink_type(type="DATE"), None, None, id="null"),
    ],
)
def test_values_are_typed(type_: LogicalType, value: object, expected: object) -> None:
    converted = converter(type_)(value)
    assert converted == expected
    assert type(converted) is type(expected)
    assert repr(converted) == repr(expected)


@pytest.mark.parametrize(
    ("type_", "text"),
    [
        (flink_type(**INT), "INT"),
        (flink_type(**STRING), "STRING"),
        (flink_type(type="VARCHAR", length=10), "VARCHAR(10)"),
        (flink_type(type="CHAR", length=1), "CHAR(1)"),
        (flink_type(type="DECIMAL", precision=10, scale=2), "DECIMAL(10, 2)"),
        (flink_type(type=LTZ, precision=3), "TIMESTAMP_LTZ(3)"),
        (flink_type(type="TIMESTAMP_WITHOUT_TIME_ZONE", precision=6), "TIMESTAMP(6)"),
        (flink_type(type="MAP", keyType=STRING, valueType=INT), "MAP<STRING, INT>"),
        (flink_type(type="ROW", fields=[{"name": "a", "fieldType": INT}]), "ROW<`a` INT>"),
        (flink_type(type="SOMETHING_NEW"), "SOMETHING_NEW"),
    ],
)
def test_types_are_written_as_flink_sql(type_: LogicalType, text: str) -> None:
    assert type_text(type_) == text


@pytest.mark.parametrize(
    ("type_", "value"),
    [
        (flink_type(**INT), "x"),
        (flink_type(type="BOOLEAN"), "true"),
        (flink_type(type="DATE"), "2024-13-01"),
        (flink_type(type="DECIMAL", scale=2), "x"),
        (flink_type(type="VARBINARY"), "%"),
        (flink_type(type="ARRAY", elementType=INT), {"a": 1}),
        (flink_type(type="ROW", fields=[{"name": "a", "fieldType": INT}]), [1]),
    ],
)
def test_a_value_that_does_not_fit_names_its_column(type_: LogicalType, value: object) -> None:
    convert = column_converter(ColumnInfo(name="fare", logicalType=type_))
    with pytest.raises(FlinkError, match="column 'fare' of type"):
        convert(value)
