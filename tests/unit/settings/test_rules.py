from typing import Any

import pytest

from orchestration.settings import Settings
from tests.unit.settings.samples import AZURE, GCS, MINIO, PLANTED, POLARIS, S3, refusal

REFUSED: list[tuple[str, dict[str, Any], str]] = [
    (
        "cfg-11 minio without endpoint",
        {**S3, "minio_root_user": "u", "minio_root_password": "p"},
        "MinIO is selected and S3_ENDPOINT is not set: set S3_ENDPOINT=http://localhost:9000",
    ),
    ("cfg-11 profile minio without endpoint", {**S3, "profile": "minio"}, "`millrace config use NAME`"),
    (
        "cfg-12 endpoint without user",
        {**MINIO, "aws_access_key_id": None},
        "neither AWS_ACCESS_KEY_ID nor MINIO_ROOT_USER is set",
    ),
    (
        "cfg-12 endpoint without password",
        {**MINIO, "aws_secret_access_key": None},
        "neither AWS_SECRET_ACCESS_KEY nor MINIO_ROOT_PASSWORD is set",
    ),
    (
        "cfg-12 endpoint with blank keys",
        {**MINIO, "aws_access_key_id": " ", "aws_secret_access_key": ""},
        "AWS_ACCESS_KEY_ID",
    ),
    (
        "cfg-13 gcs with a minio endpoint",
        {**GCS, "s3_endpoint": "http://MinIO:9000"},
        "S3_ENDPOINT='http://MinIO:9000' is refused: drop it, or select the profile minio",
    ),
    ("cfg-13 azure with a minio endpoint", {**AZURE, "s3_endpoint": "http://minio:9000"}, "drop it"),
    ("cfg-13 profile aws with a minio endpoint", {**MINIO, "profile": "aws"}, "drop it"),
    ("cfg-14 empty topic", {"topic": ""}, "TOPIC is empty: name a topic, or delete the line"),
    ("cfg-14 blank topic", {"topic": "  "}, "TOPIC is empty"),
    ("cfg-14 empty dead letter topic", {"dlq_topic": ""}, "DLQ_TOPIC is empty"),
    ("cfg-14 empty warehouse", {"warehouse": ""}, "WAREHOUSE is empty: STORAGE=file needs file://"),
    ("cfg-14 blank warehouse", {"warehouse": "  "}, "WAREHOUSE is empty"),
    ("cfg-21 completeness of 0", {"bronze_completeness_ratio": 0}, "BRONZE_COMPLETENESS_RATIO=0 is refused: above 0"),
    (
        "cfg-21 completeness above 1",
        {"bronze_completeness_ratio": 1.01},
        "BRONZE_COMPLETENESS_RATIO=1.01 is refused: at most 1",
    ),
    (
        "cfg-21 warehouse without scheme",
        {**S3, "warehouse": "lake/wh"},
        "WAREHOUSE='lake/wh/' is refused: STORAGE=s3 needs s3:// or s3a://",
    ),
    (
        "cfg-21 poll as long as the timeout",
        {"wait_for_silver_poll_s": 90},
        "WAIT_FOR_SILVER_POLL_S=90.0 is refused: it must be below WAIT_FOR_SILVER_TIMEOUT_S=90",
    ),
    ("mail without server", {"alert_email_to": "a@example.org"}, "ALERT_EMAIL_TO is set and SMTP_HOST is not"),
    ("mail to nobody", {"smtp_host": "mail.example.org"}, "SMTP_HOST is set and ALERT_EMAIL_TO is not"),
    ("warehouse file for s3", {**S3, "warehouse": "file:///x/"}, "STORAGE=s3 needs s3:// or s3a://"),
    ("warehouse s3 for file", {"warehouse": "s3://lake/"}, "STORAGE=file needs file://"),
    ("warehouse gs for s3", {**S3, "warehouse": "gs://lake/"}, "STORAGE=s3 needs s3:// or s3a://"),
    ("warehouse s3 for azure", {**AZURE, "warehouse": "s3://lake/"}, "STORAGE=azure needs abfss://"),
    ("warehouse a path", {"warehouse": "/data/wh"}, "STORAGE=file needs file://"),
    ("warehouse a file address with a host", {"warehouse": "file://data/wh"}, "three slashes"),
    ("warehouse without bucket", {**S3, "warehouse": "s3://"}, "the bucket is missing"),
    (
        "placeholder bucket",
        {**S3, "warehouse": "s3://<bucket>/wh/"},
        "WAREHOUSE still holds the placeholder <bucket>: write your own value there",
    ),
    (
        "placeholder account",
        {**AZURE, "azure_storage_account": "<account>"},
        "AZURE_STORAGE_ACCOUNT still holds the placeholder <account>",
    ),
    (
        "placeholder secret",
        {**POLARIS, "catalog_client_secret": "<client-secret>"},
        "CATALOG_CLIENT_SECRET still holds the placeholder <client-secret>",
    ),
    (
        "placeholder words",
        {**S3, "warehouse": "s3://your-bucket/"},
        "WAREHOUSE='s3://your-bucket/' is refused: that is an example",
    ),
    (
        "duckdb endpoint with scheme",
        {**MINIO, "duckdb_s3_endpoint": "http://minio:9000"},
        "DUCKDB_S3_ENDPOINT='http://minio:9000' is refused: DuckDB wants it without scheme and path, such as minio",
    ),
    ("duckdb endpoint with path", {**MINIO, "duckdb_s3_endpoint": "minio:9000/x"}, "without scheme and path"),
    (
        "s3 endpoint without scheme",
        {**MINIO, "s3_endpoint": "minio:9000"},
        "S3_ENDPOINT='minio:9000' is refused: write it with scheme, such as http://minio:9000",
    ),
    ("s3 endpoint with another scheme", {**MINIO, "s3_endpoint": "s3://minio"}, "write it with scheme"),
    ("s3 endpoint that is no URL", {**MINIO, "s3_endpoint": "http://[minio"}, "write it with scheme"),
    (
        "duckdb endpoint with keys in it",
        {**MINIO, "duckdb_s3_endpoint": f"u:{PLANTED}@minio"},
        "DUCKDB_S3_ENDPOINT holds a user name",
    ),
    ("broker with password in it", {"broker_url": f"u:{PLANTED}@a:9092"}, "BROKER_URL holds a user name"),
    (
        "s3 endpoint with keys in it",
        {**MINIO, "s3_endpoint": f"http://u:{PLANTED}@minio:9000"},
        "S3_ENDPOINT holds a user name",
    ),
    (
        "tls against the endpoint",
        {**MINIO, "s3_use_ssl": True},
        "S3_USE_SSL=True is refused: S3_ENDPOINT=http://minio:9000 says false",
    ),
    (
        "key without secret",
        {**S3, "aws_access_key_id": "k"},
        "AWS_SECRET_ACCESS_KEY is not set, but AWS_ACCESS_KEY_ID is: give both, or neither",
    ),
    (
        "secret without key",
        {**S3, "aws_secret_access_key": PLANTED},
        "AWS_ACCESS_KEY_ID is not set, but AWS_SECRET_ACCESS_KEY is",
    ),
    (
        "gcs by s3 without keys",
        {**GCS, "warehouse": "s3://lake/", "s3_endpoint": "https://storage.googleapis.com"},
        "HMAC keys",
    ),
    (
        "gcs by s3 without endpoint",
        {**GCS, "warehouse": "s3://lake/", "aws_access_key_id": "k", "aws_secret_access_key": "s"},
        "S3_ENDPOINT=https://storage.googleapis.com",
    ),
    ("azure without account", {**AZURE, "azure_storage_account": None}, "set AZURE_STORAGE_ACCOUNT=acme"),
    (
        "azure with another account",
        {**AZURE, "azure_storage_account": "other"},
        "AZURE_STORAGE_ACCOUNT='other' is refused: WAREHOUSE names acme",
    ),
    (
        "azure without container",
        {**AZURE, "warehouse": "abfss://acme.dfs.core.windows.net/wh/"},
        "container or account is missing",
    ),
    ("rest without uri", {"catalog_uri": ""}, "CATALOG=rest needs CATALOG_URI, which is empty"),
    ("polaris without uri", {**POLARIS, "catalog_uri": ""}, "CATALOG=polaris needs CATALOG_URI"),
    (
        "polaris without secret",
        {**POLARIS, "catalog_client_secret": None},
        "CATALOG=polaris: CATALOG_CLIENT_SECRET is not set",
    ),
    (
        "rest with half of the credentials",
        {"catalog_client_id": "id"},
        "set both CATALOG_CLIENT_ID and CATALOG_CLIENT_SECRET, or neither",
    ),
    ("colon in the client id", {**POLARIS, "catalog_client_id": "a:b"}, "a colon separates it from the secret"),
    (
        "catalog uri without scheme",
        {"catalog_uri": "localhost:8181"},
        "write it with scheme, such as http://localhost:8181",
    ),
    ("blank catalog warehouse", {"catalog_warehouse": " "}, "name the warehouse"),
    (
        "flink address without scheme",
        {"flink_rest_url": "localhost:8081"},
        "FLINK_REST_URL='localhost:8081' is refused",
    ),
    ("gateway address with blank", {"flink_sql_gateway_url": "http://a b"}, "FLINK_SQL_GATEWAY_URL"),
    ("broker with scheme", {"broker_url": "kafka://a:9092"}, "BROKER_URL='kafka://a:9092' is refused: write host:port"),
    ("broker without port", {"broker_url": "a"}, "write host:port"),
    ("broker with blank", {"broker_url": "a:9092, b:9092"}, "write host:port"),
    ("broker with port 0", {"broker_url": "a:0"}, "write host:port"),
    ("broker empty", {"broker_url": ""}, "write host:port"),
    ("topic with slash", {"topic": "a/b"}, "TOPIC='a/b' is refused: a topic has letters"),
    ("topic with stray blank", {"topic": "a "}, "TOPIC='a ' is refused"),
    ("topic too long", {"topic": "a" * 250}, "at most 249"),
    ("topic of dots", {"topic": ".."}, "TOPIC='..' is refused"),
    ("dead letters into the main topic", {"topic": "a", "dlq_topic": "a"}, "rejected rows need another one"),
    ("two servers on one port", {"ui_port": 9092}, "UI_PORT=9092 is refused: KAFKA_PORT has it already"),
    (
        "window upside down",
        {"silver_window_start": "2024-02-01", "silver_window_end": "2024-02-01"},
        "it must be after SILVER_WINDOW_START=2024-02-01",
    ),
    (
        "window of a bare number",
        {"silver_window_start": "2024"},
        "SILVER_WINDOW_START='2024' is refused: write a date such as 2024-01-31",
    ),
    ("window of no day", {"silver_window_end": "2024-02-30"}, "write a date such as 2024-01-31"),
    ("line break in a value", {"key_field": "a\nb"}, "KEY_FIELD holds a line break"),
    (
        "line break in a secret",
        {**POLARIS, "catalog_client_secret": f"{PLANTED}\n"},
        "CATALOG_CLIENT_SECRET holds a line break",
    ),
    (
        "home sign in a path",
        {"state_dir": "~/state"},
        "MILLRACE_STATE_DIR='~/state' is refused: write the whole path, values are never expanded",
    ),
    ("number", {"kafka_port": "many"}, "KAFKA_PORT='many' is refused: write a whole number"),
    ("blank number", {"kafka_port": ""}, "KAFKA_PORT='' is refused: write a whole number"),
    ("port 0", {"kafka_port": 0}, "KAFKA_PORT=0 is refused: at least 1"),
    ("port too high", {"kafka_port": 65536}, "KAFKA_PORT=65536 is refused: at most 65535"),
    ("negative limit", {"max_events": -1}, "MAX_EVENTS=-1 is refused: at least 0"),
    ("speed 0", {"speed_factor": 0}, "SPEED_FACTOR=0 is refused: above 0"),
    ("speed infinite", {"speed_factor": "inf"}, "SPEED_FACTOR='inf' is refused: write a finite number"),
    ("speed not a number", {"speed_factor": "nan"}, "write a finite number"),
    ("boolean", {"validate_schema": "maybe"}, "VALIDATE_SCHEMA='maybe' is refused: write true or false"),
    ("generator mode", {"generator_mode": "brust"}, "did you mean burst?"),
    ("instance with a path", {"instance": "../x"}, "MILLRACE_INSTANCE='../x' is refused: lower-case letters"),
    ("dataset with a path", {"dataset": "../x"}, "DATASET='../x' is refused: lower-case letters"),
]


@pytest.mark.parametrize(("values", "said"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_a_broken_rule_is_refused_with_variable_value_and_remedy(values: dict[str, Any], said: str) -> None:
    message = refusal(**values)
    assert said in message
    assert PLANTED not in message
    assert "pydantic" not in message


TIMEOUTS = [name for name in Settings.model_fields if name.endswith("_timeout_s")]


@pytest.mark.parametrize("field", TIMEOUTS)
def test_cfg_21_every_timeout_is_at_least_a_second(field: str) -> None:
    assert f"{field.upper()}=0.5 is refused: at least 1" in refusal(**{field: 0.5})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("http_timeout_s", 5),
        ("broker_timeout_s", 15),
        ("iceberg_query_timeout_s", 90),
        ("iceberg_metadata_timeout_s", 30),
        ("dlq_read_timeout_s", 10),
        ("dbt_test_timeout_s", 300),
        ("run_metrics_max_age_minutes", 120),
        ("require_run_metrics", True),
        ("allow_stale_run_metrics", False),
    ],
)
def test_val_14_and_15_defaults(field: str, value: object) -> None:
    assert getattr(Settings(), field) == value


def test_all_problems_come_at_once_one_a_line() -> None:
    lines = refusal(storage="minio", kafka_port="x", topic="", broker_url="", speed_factor=0).splitlines()
    named = [line.split("=")[0].split(" ")[0] for line in lines]
    assert named == ["KAFKA_PORT", "SPEED_FACTOR", "STORAGE", "TOPIC", "BROKER_URL"]


@pytest.mark.parametrize(
    "catalog",
    [{**POLARIS, "catalog": "polaris"}, {"catalog_access_delegation": "vended-credentials"}],
    ids=["polaris", "asked for"],
)
def test_a_foreign_store_needs_no_keys_where_the_catalog_hands_them_out(catalog: dict[str, str]) -> None:
    store = {"storage": "s3", "warehouse": "s3://lake/", "s3_endpoint": "http://minio:9000"}
    assert Settings(**{**store, **catalog}).secret_access_key is None  # pyright: ignore
    assert "neither AWS_SECRET_ACCESS_KEY nor" in refusal(**{**store, **catalog}, aws_access_key_id="key")
