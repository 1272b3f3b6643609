"""The texts that a surrogate key is made of, in DuckDB as in Flink."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestration.lakehouse.streams import expected
from tests.unit.tiny import tiny_contract


def java(number: float) -> str:
    """java.lang.Double.toString of Java 19 and later: the shortest digits, by the rules of its documentation."""
    sign, digits, exponent = Decimal(repr(number)).normalize().as_tuple()
    assert isinstance(exponent, int)
    text = "".join(map(str, digits))
    point = len(text) + exponent
    minus = "-" if sign else ""
    if number == 0:
        return f"{minus}0.0"
    if 1e-3 <= abs(number) < 1e7:
        whole = text[:point].ljust(point, "0") if point > 0 else "0"
        rest = text[point:] if point > 0 else "0" * -point + text
        return f"{minus}{whole}.{rest or '0'}"
    return f"{minus}{text[0]}.{text[1:] or '0'}E{point - 1}"


@pytest.mark.parametrize(
    ("number", "text"),
    [(12.5, "12.5"), (1e7, "1.0E7"), (-33333333.33, "-3.333333333E7"), (2.5e-4, "2.5E-4"), (1e23, "1.0E23")],
)
def test_our_reading_of_java_is_right(number: float, text: str) -> None:
    assert java(number) == text


@given(st.floats(allow_nan=False, allow_infinity=False, allow_subnormal=False))
def test_a_number_is_written_as_java_writes_it(number: float) -> None:
    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE t (x DOUBLE)")
        connection.execute("INSERT INTO t VALUES (?)", [number])
        [(text,)] = connection.execute(f"SELECT {expected._java_number('x')} FROM t").fetchall()
    assert text == java(number)


def judge(**values: object) -> dict[str, object]:
    row = {"Zone": 7, "start": datetime(2024, 1, 5, 12), "fare": 1.005, "shared": True, "note": "", **values}
    held = pa.Table.from_pylist([row | {"ingestion_ts": datetime(2024, 1, 6)}])
    contract = tiny_contract()
    with duckdb.connect() as connection:
        connection.register("held", held)
        query = f"SELECT {expected.silver_row(contract)}, {expected.RULE} FROM ({expected.judged(contract, 'held')})"
        return connection.execute(query).to_arrow_table().to_pylist()[0]


def test_the_key_is_the_md5_of_the_fields_with_six_digits_of_a_second() -> None:
    with duckdb.connect() as connection:
        [(wanted,)] = connection.execute("SELECT md5('7|2024-01-05 12:00:00.000000')").fetchall()
    assert judge()["ride_id"] == wanted


def test_money_is_rounded_half_up_in_its_decimal_form() -> None:
    # The binary value of 1.005 is a little less.
    assert judge(fare=1.005)["fare"] == Decimal("1.01")


def test_the_broken_rule_is_named() -> None:
    assert judge()[expected.RULE] is None
    assert judge(fare=-1.0)[expected.RULE] == "fare_negative"
