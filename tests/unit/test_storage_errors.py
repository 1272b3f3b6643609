"""What engines say of the store, in their own words: seen with Arrow and DuckDB, or written as Java's SDK does."""

from __future__ import annotations

from typing import Any

import pytest

from orchestration.errors import MillraceError, NotFoundError, StorageError, UnreachableError
from orchestration.settings import Settings
from orchestration.storage_errors import is_of_store, storage_error

PLANTED = "Zq7Xw9Vk+planted/secret"
LAKE: dict[str, Any] = {
    "storage": "s3",
    "warehouse": "s3://lake/wh/",
    "s3_endpoint": "http://store:9000",
    "aws_access_key_id": "key",
    "aws_secret_access_key": PLANTED,
}

SAID: dict[str, tuple[str, type[MillraceError], str]] = {
    "arrow wrong key": (
        "When listing objects under key 'wh/' in bucket 'lake': AWS Error SIGNATURE_DOES_NOT_MATCH during "
        "ListObjectsV2 operation: The request signature we calculated does not match. (Request ID: 10C86BD795624B63)",
        StorageError,
        "does not accept the keys: SIGNATURE_DOES_NOT_MATCH",
    ),
    "arrow unknown id": (
        "When listing objects under key 'wh/' in bucket 'lake': AWS Error INVALID_ACCESS_KEY_ID during ListObjectsV2 "
        "operation: Forbidden (Request ID: ABB3A56A776FC5F4)",
        StorageError,
        "does not accept the keys: INVALID_ACCESS_KEY_ID",
    ),
    "arrow denied": (
        "When reading information for key 'x' in bucket 'lake': AWS Error ACCESS_DENIED during HeadObject operation: "
        "No response body.",
        StorageError,
        "denies access to s3://lake/wh/",
    ),
    "arrow closed port": (
        "When listing objects under key 'wh/' in bucket 'lake': AWS Error NETWORK_CONNECTION during ListObjectsV2 "
        "operation: curlCode: 7, Could not connect to server",
        UnreachableError,
        "does not answer: NETWORK_CONNECTION",
    ),
    "arrow no such bucket": (
        "When initiating multiple part upload for key 'x' in bucket 'lake': AWS Error NO_SUCH_BUCKET during "
        "CreateMultipartUpload operation: The specified bucket does not exist",
        NotFoundError,
        "has no bucket lake",
    ),
    "arrow wrong region": (
        "When listing objects under key 'wh/' in bucket 'lake': AWS Error UNKNOWN (HTTP status 301) during "
        "ListObjectsV2 operation: PermanentRedirect: The bucket you are attempting to access must be "
        "addressed using the specified endpoint.",
        StorageError,
        "serves this bucket from another region than us-east-1",
    ),
    "duckdb wrong key": (
        "HTTP Error: HTTP GET error reading 'http://store:9000/lake/wh/x.avro' in region 'us-east-1' (HTTP 403 "
        "Forbidden) SignatureDoesNotMatch: The request signature we calculated does not match. * See "
        "https://duckdb.org/docs/stable/extensions/httpfs/s3api.html Authentication Failure",
        StorageError,
        "does not accept the keys",
    ),
    "duckdb closed port": (
        "IO Error: Could not connect to server error for HTTP GET to 'http://store:9000/lake/wh/x.avro'",
        UnreachableError,
        "does not answer",
    ),
    "java wrong key": (
        "software.amazon.awssdk.services.s3.model.S3Exception: The request signature we calculated does not match the "
        "signature you provided. (Service: S3, Status Code: 403, Request ID: 1) (SDK Attempt Count: 1)",
        StorageError,
        "does not accept the keys",
    ),
    "java no chain": (
        "SdkClientException: Unable to load credentials from any of the providers in the chain",
        StorageError,
        "does not accept the keys",
    ),
    "java closed port": (
        "SdkClientException: Unable to execute HTTP request: Connect to store:9000 failed: Connection refused",
        UnreachableError,
        "does not answer",
    ),
    "anything else": ("AWS Error UNKNOWN (HTTP status 418) during PutObject", StorageError, "failed: UNKNOWN"),
}


@pytest.mark.parametrize(("said", "kind", "message"), SAID.values(), ids=SAID)
def test_each_trouble_is_one_line_of_its_own(said: str, kind: type[MillraceError], message: str) -> None:
    assert is_of_store(said)
    error = storage_error(f"{said} with {PLANTED}", Settings(**LAKE))
    assert type(error) is kind
    assert message in error.message
    assert "http://store:9000" in error.message
    assert error.hint
    assert "\n" not in str(error)
    assert PLANTED not in str(error)
    assert "Request ID" not in str(error)


def test_exit_codes_are_those_of_the_tree() -> None:
    codes = [storage_error(said, Settings(**LAKE)).exit_code for said, _, _ in SAID.values()]
    assert codes == [4, 4, 4, 5, 3, 4, 4, 5, 4, 4, 5, 4]


def test_a_name_made_of_the_bucket_points_to_the_path_style() -> None:
    said = "IO Error: Could not resolve hostname error for HTTP GET to 'http://lake.store:9000/wh/x.avro'"
    error = storage_error(said, Settings(**LAKE, s3_path_style=False))
    assert "S3_PATH_STYLE=false; set it to true" in str(error)
    assert "S3_PATH_STYLE" not in str(storage_error(said, Settings(**LAKE)))


def test_without_keys_the_remedy_is_the_role_or_the_catalog() -> None:
    settings = Settings(storage="s3", warehouse="s3://lake/", catalog_uri="http://catalog:1")
    error = storage_error("AWS Error ACCESS_DENIED during HeadObject operation: No response body.", settings)
    assert "Amazon S3 (us-east-1)" in error.message
    assert "no keys are set" in str(error.hint)


@pytest.mark.parametrize("text", ["the topic is gone", "[Errno 28] No space left on device", "Table does not exist"])
def test_what_is_not_of_the_store_is_left_alone(text: str) -> None:
    assert not is_of_store(text)
