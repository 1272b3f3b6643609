"""Rows become exactly the JSON that the contract describes, or a dead letter with the first reason."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestration.contracts import DatasetContract
from orchestration.generator.encode import EncodedBatch, Encoder, Events, partition_of, text_bytes

CONTRACT = DatasetContract.model_validate(
    {
        "version": 1,
        "name": "things",
        "topic": "things.raw",
        "dlq_topic": "things.dlq",
        "key_field": "code",
        "tables": {"bronze": "bronze.things", "silver": "silver.things", "rejected": "silver.rejected_things"},
        "files": {"first_month": "2024-01"},
        "event_time": "at",
        "partition": {"name": "at_date", "field": "at"},
        "natural_key": ["code", "at"],
        "surrogate_key": "thing_id",
        "columns": [
            {"name": "at", "json": "date-time", "bronze": "TIMESTAMP(3)", "silver_name": "at", "silver": "TIMESTAMP(3)"}
            | {"is_required": True},
            {"name": "code", "json": "integer", "bronze": "BIGINT", "silver_name": "code", "silver": "INT"}
            | {"parquet": ["integer", "floating", "decimal"]},
            {"name": "small", "json": "integer", "bronze": "INT", "silver_name": "small", "silver": "INT"},
            {"name": "amount", "json": "number", "bronze": "DOUBLE", "silver_name": "amount", "silver": "DOUBLE"},
            {"name": "note", "json": "string", "bronze": "STRING", "silver_name": "note", "silver": "STRING"},
            {"name": "is_on", "json": "boolean", "bronze": "BOOLEAN", "silver_name": "is_on", "silver": "BOOLEAN"},
            {"name": "day", "json": "date", "bronze": "DATE", "silver_name": "day", "silver": "DATE"},
        ],
        "quality_rules": [{"name": "amount_known", "predicate": "amount IS NOT NULL"}],
    }
)
TYPES: dict[str, pa.DataType] = {
    "at": pa.timestamp("us"),
    "code": pa.int64(),
    "small": pa.int64(),
    "amount": pa.float64(),
    "note": pa.string(),
    "is_on": pa.bool_(),
    "day": pa.date32(),
}
AT = datetime(2024, 1, 15, 8, 30, 5)


def encode(
    rows: list[dict[str, object]],
    types: Mapping[str, pa.DataType] | None = None,
    *,
    check_contract: bool = True,
    first_row: int = 0,
    partitions: int = 4,
) -> EncodedBatch:
    schema = pa.schema([pa.field(name, kind) for name, kind in (TYPES | dict(types or {})).items()])
    encoder = Encoder(
        CONTRACT,
        schema,
        identity="0123456789abcdef",
        key_field="code",
        partitions=partitions,
        check_contract=check_contract,
    )
    columns = [
        pa.array([row.get(field.name, AT if field.name == "at" else None) for row in rows], field.type)
        for field in schema
    ]
    try:
        return encoder.encode(pa.record_batch(columns, schema=schema), first_row)
    finally:
        encoder.close()


def bodies(events: Events) -> list[dict[str, object]]:
    return [json.loads(value) for value in events.lists(0, len(events)).values]


def one(row: dict[str, object], types: Mapping[str, pa.DataType] | None = None) -> dict[str, object]:
    [body] = bodies(encode([row], types).events)
    return body


def reasons(batch: EncodedBatch) -> list[object]:
    return [body["error"] for body in bodies(batch.dead_letters)]


def test_an_event_has_the_contract_columns_in_order_and_keeps_nulls() -> None:
    assert list(one({}).items()) == [
        ("at", "2024-01-15T08:30:05"),
        *((name, None) for name in ("code", "small", "amount", "note", "is_on", "day")),
    ]


@pytest.mark.parametrize(
    ("field", "kind", "value", "expected"),
    [
        pytest.param("at", pa.timestamp("us"), AT, "2024-01-15T08:30:05", id="whole seconds print no fraction"),
        pytest.param(
            "at", pa.timestamp("us"), AT.replace(microsecond=120_456), "2024-01-15T08:30:05.12",
            id="the fraction is cut to what bronze keeps",
        ),
        pytest.param("at", pa.timestamp("us"), AT.replace(microsecond=456), "2024-01-15T08:30:05", id="cut to nothing"),
        pytest.param("at", pa.timestamp("s"), AT, "2024-01-15T08:30:05", id="seconds in the file"),
        pytest.param("at", pa.timestamp("ms"), AT, "2024-01-15T08:30:05", id="milliseconds in the file"),
        pytest.param("at", pa.timestamp("ns"), AT, "2024-01-15T08:30:05", id="nanoseconds in the file"),
        pytest.param(
            "at", pa.timestamp("us", tz="America/New_York"), AT.replace(tzinfo=UTC), "2024-01-15T08:30:05",
            id="an instant prints as UTC",
        ),
        pytest.param("at", pa.timestamp("us"), datetime(1, 1, 1), "0001-01-01T00:00:00", id="year 1"),
        pytest.param("code", pa.float64(), 7.0, 7, id="a whole float is an integer"),
        pytest.param("code", pa.decimal128(10, 2), Decimal("7.00"), 7, id="a whole decimal is an integer"),
        pytest.param("code", pa.int64(), -(2**63), -(2**63), id="smallest BIGINT"),
        pytest.param("code", pa.uint64(), 2**63 - 1, 2**63 - 1, id="largest BIGINT"),
        pytest.param("amount", pa.decimal128(12, 2), Decimal("12.30"), 12.3, id="decimal"),
        pytest.param("amount", pa.int64(), 3, 3, id="an integer is a number"),
        pytest.param("amount", pa.float32(), 0.5, 0.5, id="single precision"),
        pytest.param("note", pa.large_string(), "x", "x", id="large string"),
        pytest.param("note", pa.dictionary(pa.int32(), pa.string()), "x", "x", id="dictionary"),
        pytest.param("note", pa.string(), "", "", id="empty text is not null"),
        pytest.param("is_on", pa.bool_(), True, True, id="boolean"),
        pytest.param("day", pa.date32(), date(2024, 2, 29), "2024-02-29", id="date"),
        pytest.param("note", pa.null(), None, None, id="a column without a value"),
    ],
)  # fmt: skip
def test_values_of_every_file_type_become_json(field: str, kind: pa.DataType, value: object, expected: object) -> None:
    assert one({field: value}, {field: kind})[field] == expected


@pytest.mark.parametrize(
    ("row", "types", "reason"),
    [
        pytest.param({"at": None}, {}, "at is required and missing", id="required"),
        pytest.param({"amount": math.nan}, {}, "amount is not a finite number", id="nan"),
        pytest.param({"amount": -math.inf}, {}, "amount is not a finite number", id="infinite"),
        pytest.param({"code": math.nan}, {"code": pa.float64()}, "code is not a finite number", id="nan integer"),
        pytest.param({"code": 7.5}, {"code": pa.float64()}, "code is not a whole number", id="fraction"),
        pytest.param(
            {"code": Decimal("7.5")},
            {"code": pa.decimal128(10, 2)},
            "code is not a whole number",
            id="decimal fraction",
        ),
        pytest.param({"code": 2.0**63}, {"code": pa.float64()}, "code is out of the range of BIGINT", id="2^63 float"),
        pytest.param({"code": 2**63}, {"code": pa.uint64()}, "code is out of the range of BIGINT", id="2^63 unsigned"),
        pytest.param({"small": 2**31}, {}, "small is out of the range of INT", id="int"),
        pytest.param({"small": -(2**31) - 1}, {}, "small is out of the range of INT", id="int below"),
        pytest.param({"at": None, "amount": math.nan}, {}, "at is required and missing", id="the first one counts"),
    ],
)
def test_a_row_that_cannot_be_an_event_is_dead_lettered_with_the_first_reason(
    row: dict[str, object], types: dict[str, pa.DataType], reason: str
) -> None:
    batch = encode([row], types)
    assert (len(batch.events), reasons(batch)) == (0, [reason])


def test_a_timestamp_beyond_year_9999_is_dead_lettered() -> None:
    schema = pa.schema(TYPES | {"at": pa.timestamp("s")})
    encoder = Encoder(CONTRACT, schema, identity="i", key_field="code", partitions=1)
    columns = [pa.array([2**40 if field.name == "at" else None]).cast(field.type) for field in schema]
    batch = encoder.encode(pa.record_batch(columns, schema=schema), 0)
    encoder.close()
    assert reasons(batch) == ["at is not in the years 1 to 9999"]


def not_utf8(kind: pa.DataType) -> pa.Array:
    raw = pa.array([b"a\xff", b"fine", None], pa.binary())
    buffers = raw.buffers()
    text = pa.Array.from_buffers(pa.string(), 3, buffers)
    return text if kind == pa.string() else pa.DictionaryArray.from_arrays(pa.array([0, 1, 2], pa.int32()), text)


@pytest.mark.parametrize("kind", [pa.string(), pa.dictionary(pa.int32(), pa.string())], ids=str)
def test_text_that_is_not_utf8_is_dead_lettered_and_the_other_rows_are_sent(kind: pa.DataType) -> None:
    schema = pa.schema(TYPES | {"note": kind})
    encoder = Encoder(CONTRACT, schema, identity="i", key_field="code", partitions=1)
    columns = [
        not_utf8(kind) if field.name == "note" else pa.array([AT if field.name == "at" else None] * 3, field.type)
        for field in schema
    ]
    batch = encoder.encode(pa.record_batch(columns, schema=schema), 0)
    encoder.close()
    [dead] = bodies(batch.dead_letters)
    assert dead["error"] == "note is not UTF-8 text"
    assert dead["row"]["note"] == "a\ufffd"  # type: ignore[index]
    assert [body["note"] for body in bodies(batch.events)] == ["fine", None]


def test_the_envelope_has_exactly_three_fields_and_the_whole_row() -> None:
    row = {"at": AT, "code": 7, "amount": math.inf, "note": 'a "b"', "is_on": False, "day": date(2024, 1, 2)}
    [body] = bodies(encode([row]).dead_letters)
    assert body.pop("timestamp").endswith("Z")  # type: ignore[attr-defined]
    assert body == {
        "error": "amount is not a finite number",
        "row": {
            "at": "2024-01-15T08:30:05", "code": 7, "small": None, "amount": "inf", "note": 'a "b"', "is_on": False,
            "day": "2024-01-02",
        },
    }  # fmt: skip


def test_every_row_is_in_exactly_one_topic_and_keeps_its_number() -> None:
    rows: list[dict[str, object]] = [{"code": n, "amount": math.nan if n % 3 == 0 else 1.0} for n in range(10)]
    batch = encode(rows, first_row=100)
    assert batch.events.table["row"].to_pylist() == [101, 102, 104, 105, 107, 108]
    assert batch.dead_letters.table["row"].to_pylist() == [100, 103, 106, 109]
    assert batch.events.lists(0, 1).headers == [b"0123456789abcdef/101"]
    assert batch.dead_letters.lists(0, 1).headers == [b"0123456789abcdef/100"]
    assert batch.dead_letters.lists(0, 1).keys == [None]


def test_without_the_contract_check_a_missing_required_value_is_sent_but_never_invalid_json() -> None:
    batch = encode([{"at": None, "code": 1}, {"amount": math.nan}], check_contract=False)
    assert [body["at"] for body in bodies(batch.events)] == [None]
    assert reasons(batch) == ["amount is not a finite number"]


def test_the_partition_is_a_pure_function_of_the_key() -> None:
    lists = encode([{"code": n % 5} for n in range(50)], partitions=3).events.lists(0, 50)
    assert lists.keys == [str(n % 5).encode() for n in range(50)]
    assert lists.partitions == [partition_of(key or b"", 3) for key in lists.keys]


def test_a_missing_key_is_empty() -> None:
    assert encode([{"code": None}]).events.lists(0, 1).keys == [b""]


def test_an_empty_batch_has_no_events() -> None:
    batch = encode([])
    assert (batch.rows, len(batch.events), len(batch.dead_letters)) == (0, 0, 0)


# A busy machine makes one example slow; that says nothing about the encoder.
patient = settings(max_examples=50)


@patient
@given(st.lists(st.none() | st.text(st.characters(exclude_categories=["Cs"])), min_size=1, max_size=20))
def test_any_text_reads_back_as_it_was(texts: list[str | None]) -> None:
    events = encode([{"note": text} for text in texts]).events
    assert [body["note"] for body in bodies(events)] == texts


@patient
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=20))
def test_any_double_reads_back_as_it_was(numbers: list[float]) -> None:
    read = [body["amount"] for body in bodies(encode([{"amount": number} for number in numbers]).events)]
    assert [float(number).hex() for number in read] == [number.hex() for number in numbers]  # type: ignore[arg-type]


@patient
@given(st.datetimes(), st.integers(-(2**63), 2**63 - 1))
def test_any_time_and_integer_read_back_as_they_were(at: datetime, code: int) -> None:
    body = one({"at": at, "code": code})
    assert body["code"] == code
    assert datetime.fromisoformat(str(body["at"])) == at.replace(microsecond=at.microsecond // 1000 * 1000)


@patient
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]))), st.integers(0, 5))
def test_text_bytes_equals_encoding_each_value(texts: list[str], start: int) -> None:
    column = pa.chunked_array([pa.array(texts, pa.string())]).slice(start)
    assert text_bytes(column) == [text.encode() for text in texts[start:]]
