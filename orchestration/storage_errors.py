"""What an engine says of the object store, as one error with a remedy.

The words are those of Amazon's SDKs for C++ (Arrow, so PyIceberg) and Java (Flink, the embedded catalog) and of
DuckDB's httpfs; the codes among them are S3's own (Amazon S3 API reference, "Error responses").
"""

from __future__ import annotations

import re

from orchestration.errors import MillraceError, NotFoundError, StorageError, UnreachableError
from orchestration.redaction import redact
from orchestration.settings import Settings, load_settings

_IS_OF_STORE = re.compile(
    r"AWS Error|amazonaws|awssdk|S3Exception|SdkClientException|s3api\.html|HTTP (?:GET|HEAD|PUT|POST) (?:error|to )",
)
_SILENT = re.compile(
    r"NETWORK_CONNECTION|Unable to execute HTTP request|Connect(?:ion)? ?(?:to .*)?(?:refused|reset|timed out)|"
    r"could not (?:connect|resolve|establish)|Unable to connect|UnknownHostException|TLS connect error|SLOW_DOWN|"
    r"REQUEST_TIMEOUT|timed? ?out|\b50[0234]\b|INTERNAL_FAILURE|SERVICE_UNAVAILABLE",
    re.IGNORECASE,
)
_NO_BUCKET = re.compile(r"NO_?SUCH_?BUCKET|specified bucket does not exist", re.IGNORECASE)
_REGION = re.compile(
    r"AuthorizationHeaderMalformed|PermanentRedirect|\b301\b|IllegalLocationConstraint|region .* is wrong|"
    r"must be addressed using the specified endpoint",
    re.IGNORECASE,
)
_KEYS = re.compile(
    r"SIGNATURE_?DOES_?NOT_?MATCH|INVALID_?ACCESS_?KEY_?ID|InvalidClientTokenId|EXPIRED_?TOKEN|INVALID_?TOKEN|"
    r"signature we calculated does not match|Access Key Id you provided does not exist|InvalidSecurity|"
    r"RequestTimeTooSkewed|Unable to load credentials|\b401\b",
    re.IGNORECASE,
)
_DENIED = re.compile(r"ACCESS_?DENIED|Forbidden|\b403\b|AllAccessDisabled", re.IGNORECASE)
_RESOLVE = re.compile(r"resolve|UnknownHost", re.IGNORECASE)


def is_of_store(text: str) -> bool:
    """Whether an engine's message speaks of S3."""
    return _IS_OF_STORE.search(text) is not None


def storage_error(text: str, settings: Settings) -> MillraceError:
    """Return the error that stands for what an engine said of the object store.

    UnreachableError: it does not answer. NotFoundError: there is no such bucket. StorageError: it refused the keys, the
    region or the access, or something else that is quoted.
    """
    where, reason = f"the object store at {endpoint_of(settings)}", _reason(text, settings)
    context = {"endpoint": endpoint_of(settings), "warehouse": settings.warehouse, "region": settings.aws_region}
    if _NO_BUCKET.search(text):
        return no_bucket(settings)
    if _REGION.search(text):
        return StorageError(
            f"{where} serves this bucket from another region than {settings.aws_region}: {reason}",
            hint="set AWS_REGION to the bucket's region; S3_ENDPOINT, if it is set, must be of that region",
            context=context,
        )
    if _KEYS.search(text):
        return StorageError(f"{where} does not accept the keys: {reason}", hint=_key_hint(settings), context=context)
    if _DENIED.search(text):
        return StorageError(
            f"{where} denies access to {settings.warehouse}: {reason}",
            hint=f"{_key_hint(settings)}; the policy must allow to list, read, write and delete below the warehouse",
            context=context,
        )
    if _SILENT.search(text):
        hint = "check S3_ENDPOINT (scheme, host, port) and that the server runs"
        if _RESOLVE.search(text) and not settings.s3_path_style and settings.s3_endpoint:
            hint = "its name is <bucket>.<host> because of S3_PATH_STYLE=false; set it to true, or check S3_ENDPOINT"
        return UnreachableError(f"{where} does not answer: {reason}", hint=hint, context=context)
    return StorageError(f"{where} failed: {reason}", hint="`millrace config show` prints its settings", context=context)


def storage_error_of(error: OSError) -> MillraceError | None:
    """Return the error for what Arrow, so PyIceberg, said of the store of this process's settings; None: it is another.

    For the ends of a command or a step, where no settings are at hand.
    """
    text = str(error)
    return storage_error(text, load_settings()) if is_of_store(text) else None


def no_bucket(settings: Settings) -> NotFoundError:
    """Return the error for a bucket that is not there."""
    bucket = settings.warehouse.split("://", 1)[1].split("/")[0]
    style = "path" if settings.s3_path_style else "virtual host"
    return NotFoundError(
        f"the object store at {endpoint_of(settings)} has no bucket {bucket}",
        hint=f"create it, or correct WAREHOUSE; buckets are asked for in {style} style (S3_PATH_STYLE)",
        context={"endpoint": endpoint_of(settings), "bucket": bucket},
    )


def endpoint_of(settings: Settings) -> str:
    """Return the address of the store, for people."""
    return settings.s3_endpoint or f"Amazon S3 ({settings.aws_region})"


def _key_hint(settings: Settings) -> str:
    if settings.secret_access_key is None:
        return "no keys are set: check what the catalog hands out, or the role of this machine"
    return "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"


def _reason(text: str, settings: Settings) -> str:
    """Return the telling part in one line: SDKs add request ids, addresses of manuals, and the object's name."""
    line = " ".join(text.split())
    line = re.sub(r"^.*?AWS Error ", "", line)
    line = re.sub(
        r"\s*\(Request ID: [^)]*\)|,? ?(?:Extended )?Request ID: [^,)\s]+|\s*\* See https?://\S+.*$", "", line
    )
    known = [settings.secret_access_key, settings.aws_session_token]
    return redact(line, (one.get_secret_value() for one in known if one is not None))[:300].rstrip(" .")
