"""Sample files keep what they promise: same bytes, plausible trips, and the stated accounting."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from orchestration.contracts import load_contract
from orchestration.errors import InputError
from orchestration.generator.drift import find_drift
from orchestration.generator.encode import Encoder
from orchestration.generator.sample import DEFECTS, ROW_GROUP_ROWS, sample_expectation, write_sample

CONTRACT = load_contract("taxi")
INTEGERS = {"VendorID", "passenger_count", "RatecodeID", "PULocationID", "DOLocationID", "payment_type"}


def write(tmp_path: Path, name: str = "s_2024-03.parquet", **options: object) -> Path:
    path = tmp_path / name
    write_sample(path, **({"rows": 2000, "seed": 7} | options))  # type: ignore[arg-type]
    return path


def ask(path: Path, sql: str) -> list[tuple[object, ...]]:
    with duckdb.connect() as connection:
        return connection.execute(sql, {"path": str(path)}).fetchall()


def test_the_same_arguments_give_the_same_bytes_and_another_seed_does_not(tmp_path: Path) -> None:
    first, second, other = (
        write(tmp_path, f"{name}_2024-03.parquet", seed=seed, dirty=0.1).read_bytes()
        for name, seed in (("a", 1), ("b", 1), ("c", 2))
    )
    assert first == second != other


def test_columns_and_types_are_the_official_ones(tmp_path: Path) -> None:
    schema = pq.read_schema(write(tmp_path, dirty=0.1))
    assert tuple(schema.names) == CONTRACT.column_names
    for field in schema:
        is_time, is_text = field.name.startswith("tpep"), field.name == "store_and_fwd_flag"
        number = pa.int64() if field.name in INTEGERS else pa.float64()
        assert field.type == (pa.timestamp("us") if is_time else pa.string() if is_text else number)
    assert find_drift(CONTRACT, schema) == []


def test_trips_are_plausible(tmp_path: Path) -> None:
    [row] = ask(
        write(tmp_path, rows=20_000),
        """SELECT count(*) FILTER (tpep_pickup_datetime < '2024-03-01' OR tpep_pickup_datetime >= '2024-04-01'),
            count(*) FILTER (date_diff('second', tpep_pickup_datetime, tpep_dropoff_datetime) NOT BETWEEN 180 AND 3600),
            count(*) FILTER (trip_distance * 3600
                / date_diff('second', tpep_pickup_datetime, tpep_dropoff_datetime) >= 100),
            count(*) FILTER (fare_amount > total_amount OR fare_amount < 3 OR total_amount > 1000),
            count(*) FILTER (abs(fare_amount + extra + mta_tax + tip_amount + tolls_amount + improvement_surcharge
                + congestion_surcharge + Airport_fee - total_amount) > 0.001),
            count(*) FILTER (PULocationID NOT BETWEEN 1 AND 265 OR DOLocationID NOT BETWEEN 1 AND 265),
            count(*) FILTER (VendorID NOT IN (1, 2, 6) OR payment_type NOT BETWEEN 0 AND 6),
            count(*) FILTER (RatecodeID NOT IN (1, 2, 3, 4, 5, 6, 99) OR passenger_count NOT BETWEEN 1 AND 6),
            count(*) FILTER (Airport_fee NOT IN (0, 1.25) OR (Airport_fee > 0) <> (PULocationID IN (132, 138)))
        FROM read_parquet($path)""",
    )
    assert row == (0,) * 9


def test_every_code_occurs(tmp_path: Path) -> None:
    [row] = ask(
        write(tmp_path, rows=20_000),
        """SELECT count(DISTINCT VendorID), count(DISTINCT payment_type), count(DISTINCT PULocationID),
        count(DISTINCT store_and_fwd_flag) FROM read_parquet($path)""",
    )
    assert row == (3, 7, 265, 2)


@pytest.mark.parametrize(("rows", "dirty"), [(50, 0.0), (50, 0.01), (2000, 0.05), (5000, 0.5), (999, 0.2)])
def test_the_stated_accounting_is_what_contract_and_encoder_find(tmp_path: Path, rows: int, dirty: float) -> None:
    path = tmp_path / "s_2024-03.parquet"
    expected = write_sample(path, rows=rows, dirty=dirty)
    table = pq.read_table(path)
    assert table.num_rows == rows == expected.rows
    [whole] = table.combine_chunks().to_batches()
    encoder = Encoder(CONTRACT, table.schema, identity="i", key_field=CONTRACT.key_field, partitions=1)
    batch = encoder.encode(whole, 0)
    encoder.close()
    assert len(batch.dead_letters) == expected.dead_lettered
    sent = table.take(batch.events.table["row"])
    rules = " ".join(f"WHEN NOT ({condition}) THEN '{name}'" for name, condition in CONTRACT.rules())
    keys = ", ".join(CONTRACT.natural_key)
    with duckdb.connect() as connection:
        connection.register("sent", sent)
        judged = f"SELECT *, CASE {rules} END AS rule FROM sent"
        rejected = connection.execute(f"SELECT rule, count(*) FROM ({judged}) WHERE rule <> '' GROUP BY 1").fetchall()
        good = connection.execute(f"SELECT count(*) FROM (SELECT DISTINCT {keys} FROM ({judged}) WHERE rule IS NULL)")
        assert dict(rejected) == expected.rejected_by
        assert good.fetchall() == [(expected.silver,)]
    assert expected.bronze == expected.silver + expected.duplicates + expected.rejected
    assert expected.produced == expected.bronze + expected.dead_lettered


def test_every_quality_rule_has_a_defect() -> None:
    assert {name for name, _ in CONTRACT.rules()} - {defect.ends_in for defect in DEFECTS} == {
        "pickup_missing",
        "dropoff_missing",
    }, "the two that the generator refuses before they reach a rule"


@pytest.mark.parametrize(
    ("name", "month", "first_day"),
    [
        ("x_2024-02.parquet", None, "2024-02-01"),
        ("x_2024-02.parquet", "2024-06", "2024-06-01"),
        ("x.parquet", None, "2024-01-01"),
    ],
)
def test_the_month_comes_from_the_argument_or_the_name(
    tmp_path: Path, name: str, month: str | None, first_day: str
) -> None:
    path = write(tmp_path, name, month=month)
    assert ask(path, "SELECT min(tpep_pickup_datetime)::DATE::VARCHAR FROM read_parquet($path)") == [(first_day,)]


def test_a_large_file_has_several_row_groups_and_unique_keys(tmp_path: Path) -> None:
    rows = 2 * ROW_GROUP_ROWS + 10
    path = write(tmp_path, rows=rows)
    assert pq.ParquetFile(path).num_row_groups == 3
    keys = ", ".join(CONTRACT.natural_key)
    assert ask(path, f"SELECT count(*) FROM (SELECT DISTINCT {keys} FROM read_parquet($path))") == [(rows,)]


def test_an_empty_sample_is_a_file_of_the_same_schema(tmp_path: Path) -> None:
    path = write(tmp_path, rows=0)
    assert (pq.read_metadata(path).num_rows, pq.read_schema(path).names) == (0, list(CONTRACT.column_names))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param({"rows": 10, "dirty": 0.1}, "cannot hold one of each", id="too small for the defects"),
        pytest.param({"dirty": 0.6}, "not a share", id="too dirty"),
        pytest.param({"rows": -1}, "not within", id="negative"),
        pytest.param({"month": "2024-13"}, "not of the form", id="no month"),
        pytest.param({"month": "2019-05"}, "not within the contract's window", id="out of the window"),
    ],
)
def test_impossible_arguments_are_refused(tmp_path: Path, options: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        write(tmp_path, **options)
    assert list(tmp_path.iterdir()) == []


def test_the_expectation_needs_no_file() -> None:
    expected = sample_expectation(100_000, 0.05)
    assert (expected.dead_lettered, expected.duplicates, expected.rejected, expected.silver) == (936, 312, 3744, 95008)
