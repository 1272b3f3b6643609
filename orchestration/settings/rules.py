"""Rules between settings: pure functions that name the variable, its value and the remedy."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pydantic import SecretStr

from orchestration.settings import names
from orchestration.settings.problems import Problem

if TYPE_CHECKING:
    from orchestration.settings.model import Settings

_TOPIC = re.compile(r"[A-Za-z0-9._-]{1,249}")
_BROKER = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):(\d{1,5})")
_HOST_PORT = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::\d{1,5})?")
_SELF = frozenset({"localhost", "127.0.0.1", "::1"})
_SCHEMES = {
    "file": ("file://",),
    "s3": ("s3://", "s3a://"),
    # Also by the S3-compatible interface with HMAC keys.
    "gcs": ("gs://", "s3://", "s3a://"),
    "azure": ("abfss://",),
}
_EXAMPLES = {
    "file": "file:///data/warehouse/",
    "s3": "s3://my-company-lakehouse/warehouse/",
    "gcs": "gs://my-company-lakehouse/warehouse/",
    "azure": "abfss://lakehouse@myaccount.dfs.core.windows.net/warehouse/",
}
URLS = ("flink_rest_url", "flink_sql_gateway_url", "catalog_uri", "catalog_oauth2_server_uri", "s3_endpoint")


def host_of(url: str | None) -> str:
    """Return the host of a URL in lower case; empty if it has none."""
    try:
        return (urlsplit(url or "").hostname or "").lower()
    except ValueError:
        return ""


def is_loopback(url: str | None) -> bool:
    """Whether a URL names this machine."""
    return host_of(url) in _SELF


def authority_of(url: str | None) -> str | None:
    """Return `host:port` of a URL, or None if it has none."""
    return urlsplit(url or "").netloc.rpartition("@")[2] or None if host_of(url) else None


def is_tls(url: str | None) -> bool:
    """Whether a URL is https; no URL means AWS, which is."""
    return not (url or "https:").lower().startswith("http:")


def is_foreign_s3(endpoint: str | None) -> bool:
    """Whether `endpoint` is an S3-compatible server of somebody else than AWS or Google (MinIO, Ceph, ...)."""
    host = host_of(endpoint)
    return bool(host) and not host.endswith((".amazonaws.com", ".amazonaws.com.cn", ".googleapis.com"))


def check(settings: Settings) -> list[Problem]:
    """Return every rule that the settings break."""
    found = list(_texts(settings))
    unfinished = {problem.fields[0] for problem in found}
    store = (_warehouse, _object_store, _azure, _catalog)
    for rule in (_topics, _broker, _broker_security, _urls, *store, _limits, _ports, _mail):
        # A placeholder breaks other rules too; saying so once is enough.
        found += [problem for problem in rule(settings) if unfinished.isdisjoint(problem.fields)]
    return found


def _bad(settings: Settings, field: str, remedy: str, *also: str) -> Problem:
    value = names.shown(getattr(settings, field))
    return Problem((field, *also), f"{names.env_name(field)}={value} is refused", remedy)


def _texts(settings: Settings) -> Iterator[Problem]:
    for field in type(settings).model_fields:
        value: object = getattr(settings, field)
        is_secret = isinstance(value, SecretStr)
        text = value.get_secret_value() if isinstance(value, SecretStr) else value
        if not isinstance(text, str) or field == "profile":
            continue
        placeholder = re.search(r"<[A-Za-z][\w. -]*>", text)
        # A real secret may hold such brackets inside; only a whole one is a placeholder.
        if placeholder and (not is_secret or placeholder[0] == text):
            name = names.env_name(field)
            yield Problem(
                (field,), f"{name} still holds the placeholder {placeholder[0]}", "write your own value there"
            )
        elif re.search(r"\byour[-_][a-z]", text) and not is_secret:
            yield _bad(settings, field, "that is an example; write your own value")
        elif re.search(r"[\x00-\x1f\x7f]", text):
            # The value itself is not shown: it would break the line, and may be a key read with its line end.
            yield Problem((field,), f"{names.env_name(field)} holds a line break or control character", "remove it")


def _topics(settings: Settings) -> Iterator[Problem]:
    for field in ("topic", "dlq_topic"):
        value: str | None = getattr(settings, field)
        if value is None:
            continue
        if not value.strip():
            remedy = (
                "name a topic, or delete the line to take the contract's; `millrace config use NAME` selects a profile"
            )
            yield Problem((field,), f"{names.env_name(field)} is empty", remedy)
        elif not _TOPIC.fullmatch(value) or value in {".", ".."}:
            yield _bad(settings, field, "a topic has letters, digits, dot, underscore and dash, at most 249")
    if settings.topic and settings.topic == settings.dlq_topic:
        yield _bad(settings, "dlq_topic", "it is the main topic; rejected rows need another one", "topic")


def _broker(settings: Settings) -> Iterator[Problem]:
    if "@" in settings.broker_url:
        yield _credentials_in("broker_url")
        return
    for address in settings.broker_url.split(","):
        match = _BROKER.fullmatch(address)
        if not match or not 1 <= int(match[1]) <= 65535:
            yield _bad(settings, "broker_url", "write host:port, several with commas between, without scheme or blanks")
            return


def _broker_security(settings: Settings) -> Iterator[Problem]:
    protocol = settings.broker_security_protocol
    login = {"broker_username": settings.broker_username, "broker_password": settings.broker_password}
    files = {"broker_ca_file": settings.broker_ca_file, "broker_certificate_file": settings.broker_certificate_file}
    for field, value in login.items():
        name = names.env_name(field)
        if protocol.startswith("SASL") and value is None:
            text = f"BROKER_SECURITY_PROTOCOL={protocol} needs a login, and {name} is not set"
            yield Problem((field, "broker_security_protocol"), text, f"set {name}")
    for field, value in files.items():
        if value is not None and "SSL" not in protocol:
            text = f"{names.env_name(field)} is set, and BROKER_SECURITY_PROTOCOL={protocol} does not encrypt"
            yield Problem((field, "broker_security_protocol"), text, "set it to SSL or SASL_SSL")


def _urls(settings: Settings) -> Iterator[Problem]:
    for field in URLS:
        value: str | None = getattr(settings, field)
        if not value:
            continue
        if "@" in value:
            yield _credentials_in(field)
        elif not _is_url(value):
            yield _bad(settings, field, f"write it with scheme, such as http://{_bare_host(value)}")
    if "@" in (settings.duckdb_s3_endpoint or ""):
        yield _credentials_in("duckdb_s3_endpoint")
    elif settings.duckdb_s3_endpoint is not None and not _HOST_PORT.fullmatch(settings.duckdb_s3_endpoint):
        example = _bare_host(settings.duckdb_s3_endpoint)
        yield _bad(settings, "duckdb_s3_endpoint", f"DuckDB wants it without scheme and path, such as {example}")


def _credentials_in(field: str) -> Problem:
    # The value is not shown: what stands before the @ may be a password.
    return Problem((field,), f"{names.env_name(field)} holds a user name", "give credentials in settings of their own")


def _is_url(value: str) -> bool:
    try:
        parts = urlsplit(value)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0 and " " not in value
    except ValueError:
        return False


def _bare_host(value: str) -> str:
    host = re.sub(r"^[A-Za-z][A-Za-z0-9+.-]*://", "", value.strip()).split("/")[0]
    return host if _HOST_PORT.fullmatch(host) else "minio.example.com:9000"


def _warehouse(settings: Settings) -> Iterator[Problem]:
    value, storage = settings.warehouse, settings.storage
    remedy = f"STORAGE={storage} needs {' or '.join(_SCHEMES[storage])}, such as {_EXAMPLES[storage]}"
    if not value.strip():
        yield Problem(("warehouse", "storage"), "WAREHOUSE is empty", remedy)
    elif not value.startswith(_SCHEMES[storage]):
        yield _bad(settings, "warehouse", remedy, "storage")
    elif storage == "file" and not value.startswith("file:///"):
        yield _bad(settings, "warehouse", f"a file address has three slashes and an absolute path: {_EXAMPLES['file']}")
    elif storage != "file" and not value.split("://", 1)[1].strip("/ "):
        yield _bad(settings, "warehouse", f"the bucket is missing; such as {_EXAMPLES[storage]}")


def _object_store(settings: Settings) -> Iterator[Problem]:
    endpoint, storage = settings.s3_endpoint, settings.storage
    key, secret = settings.access_key_id, settings.secret_access_key
    is_minio = settings.profile == "minio" or bool(settings.minio_root_user)
    if storage == "s3" and endpoint is None and is_minio:
        remedy = "set S3_ENDPOINT=http://localhost:9000, or select another profile with `millrace config use NAME`"
        yield Problem(("s3_endpoint", "storage"), "MinIO is selected and S3_ENDPOINT is not set", remedy)
    may_vend = settings.catalog == "polaris" or settings.catalog_access_delegation == "vended-credentials"
    if storage == "s3" and is_foreign_s3(endpoint) and not (may_vend and key is None and secret is None):
        for value, first, second in (
            (key, "aws_access_key_id", "minio_root_user"),
            (secret, "aws_secret_access_key", "minio_root_password"),
        ):
            if value is None:
                name, other = names.env_name(first), names.env_name(second)
                text = f"S3_ENDPOINT={endpoint} is not AWS, and neither {name} nor {other} is set"
                yield Problem((first, second, "s3_endpoint"), text, "there are no role-based keys on such a server")
    elif (key is None) != (secret is None):
        first, second = ("aws_access_key_id", "aws_secret_access_key")
        given, missing = (first, second) if secret is None else (second, first)
        text = f"{names.env_name(missing)} is not set, but {names.env_name(given)} is"
        yield Problem((missing, given), text, "give both, or neither for role-based access")
    if endpoint and "minio" in endpoint.lower() and (storage in {"gcs", "azure"} or settings.profile == "aws"):
        yield _bad(settings, "s3_endpoint", "drop it, or select the profile minio", "storage", "profile")
    if endpoint and settings.s3_use_ssl != is_tls(endpoint):
        right = str(is_tls(endpoint)).lower()
        yield _bad(settings, "s3_use_ssl", f"S3_ENDPOINT={endpoint} says {right}; leave one out", "s3_endpoint")
    if storage == "gcs" and settings.warehouse.startswith(("s3://", "s3a://")):
        if key is None and secret is None:
            text = "STORAGE=gcs with an s3:// warehouse needs HMAC keys"
            yield Problem(("aws_access_key_id", "warehouse"), text, "set them as AWS keys, or write WAREHOUSE=gs://...")
        if endpoint is None:
            text = "STORAGE=gcs with an s3:// warehouse needs an endpoint"
            yield Problem(("s3_endpoint", "warehouse"), text, "set S3_ENDPOINT=https://storage.googleapis.com")


def _azure(settings: Settings) -> Iterator[Problem]:
    if settings.storage != "azure" or not settings.warehouse.startswith("abfss://"):
        return
    container, _, host = settings.warehouse.removeprefix("abfss://").split("/")[0].partition("@")
    if not container or not host:
        yield _bad(settings, "warehouse", f"container or account is missing; such as {_EXAMPLES['azure']}")
    elif settings.azure_storage_account is None:
        remedy = f"set AZURE_STORAGE_ACCOUNT={host.split('.')[0]}"
        yield Problem(("azure_storage_account",), "STORAGE=azure needs the account's name", remedy)
    elif host.split(".")[0] != settings.azure_storage_account:
        yield _bad(settings, "azure_storage_account", f"WAREHOUSE names {host.split('.')[0]}", "warehouse")


def _catalog(settings: Settings) -> Iterator[Problem]:
    kind, client, secret = settings.catalog, settings.catalog_client_id, settings.catalog_client_secret
    if kind != "hadoop" and not settings.catalog_uri:
        remedy = "set it to the catalog's address, such as https://polaris.example.com/api/catalog"
        yield Problem(("catalog_uri", "catalog"), f"CATALOG={kind} needs CATALOG_URI, which is empty", remedy)
    if not settings.catalog_warehouse.strip():
        yield _bad(settings, "catalog_warehouse", "name the warehouse (in Polaris: the catalog)")
    if (client is None) != (secret is None) or (kind == "polaris" and client is None):
        missing = "catalog_client_id" if client is None else "catalog_client_secret"
        remedy = "set both CATALOG_CLIENT_ID and CATALOG_CLIENT_SECRET" + ("" if kind == "polaris" else ", or neither")
        fields = ("catalog_client_id", "catalog_client_secret", "catalog")
        yield Problem(fields, f"CATALOG={kind}: {names.env_name(missing)} is not set", remedy)
    if client is not None and ":" in client:
        yield _bad(settings, "catalog_client_id", "a colon separates it from the secret; it cannot hold one")


def _limits(settings: Settings) -> Iterator[Problem]:
    if settings.wait_for_silver_poll_s >= settings.wait_for_silver_timeout_s:
        limit = f"it must be below WAIT_FOR_SILVER_TIMEOUT_S={settings.wait_for_silver_timeout_s:g}"
        yield _bad(settings, "wait_for_silver_poll_s", limit, "wait_for_silver_timeout_s")
    start, end = settings.silver_window_start, settings.silver_window_end
    if start and end and start >= end:
        text = f"SILVER_WINDOW_END={end} is refused"
        remedy = f"the window ends before that day, so it must be after SILVER_WINDOW_START={start}"
        yield Problem(("silver_window_start", "silver_window_end"), text, remedy)


def _ports(settings: Settings) -> Iterator[Problem]:
    owners: dict[int, str] = {}
    for field in ("kafka_port", "flink_rest_port", "flink_sql_gateway_port", "catalog_port", "ui_port"):
        port: int = getattr(settings, field)
        if port in owners:
            yield _bad(settings, field, f"{names.env_name(owners[port])} has it already", owners[port])
        owners.setdefault(port, field)


def warn(settings: Settings) -> list[Problem]:
    """Return what is allowed but probably not meant."""
    return list(_warnings(settings))


def _warnings(settings: Settings) -> Iterator[Problem]:
    endpoint, storage = settings.s3_endpoint, settings.storage
    if storage == "s3" and is_foreign_s3(endpoint) and not settings.s3_path_style:
        text = f"S3_PATH_STYLE=false with S3_ENDPOINT={endpoint}"
        yield Problem(("s3_path_style",), text, "such servers rarely resolve <bucket>.<host>; set it to true")
    if storage in {"file", "azure"} and (endpoint or settings.minio_root_user):
        yield Problem(("s3_endpoint",), f"settings for S3 are not used by STORAGE={storage}", "delete them")
    if storage == "s3" and settings.secret_access_key is None and settings.catalog == "hadoop":
        remedy = "give explicit keys, or use a catalog that hands out credentials"
        yield Problem(("aws_access_key_id",), "DuckDB has no role-based access to S3 here", remedy)
    if settings.catalog == "hadoop":
        yield Problem(("catalog",), "CATALOG=hadoop can only be read", "write with rest or polaris")
    if settings.catalog_realm and settings.catalog != "polaris":
        yield Problem(("catalog_realm",), f"CATALOG_REALM is not used by CATALOG={settings.catalog}", "delete it")
    protocol = settings.broker_security_protocol
    if (settings.broker_username or settings.broker_password) and not protocol.startswith("SASL"):
        text = f"BROKER_USERNAME or BROKER_PASSWORD is set, and BROKER_SECURITY_PROTOCOL={protocol} sends no login"
        yield Problem(("broker_security_protocol",), text, "set it to SASL_SSL, or to SASL_PLAINTEXT")
    if settings.flink_parallelism > settings.flink_task_slots:
        text = f"FLINK_PARALLELISM={settings.flink_parallelism} is above FLINK_TASK_SLOTS={settings.flink_task_slots}"
        yield Problem(("flink_parallelism",), text, "a streaming job would wait for slots for ever")
    if settings.flink_parallelism > settings.topic_partitions:
        text = f"FLINK_PARALLELISM={settings.flink_parallelism} is above TOPIC_PARTITIONS={settings.topic_partitions}"
        yield Problem(("topic_partitions",), text, "the readers beyond the partitions stay idle")
    if not is_loopback(settings.flink_rest_url):
        for field in ("s3_endpoint", "catalog_uri"):
            if is_loopback(getattr(settings, field)):
                text = f"{names.env_name(field)}={getattr(settings, field)}, and Flink runs on another machine"
                yield Problem((field,), text, "it would look for that on itself; use a name that both sides resolve")


def _mail(settings: Settings) -> Iterator[Problem]:
    names_of = ("smtp_host", "alert_email_to")
    missing = [field for field in names_of if not getattr(settings, field)]
    if len(missing) == 1:
        [given] = set(names_of).difference(missing)
        text = f"{names.env_name(given)} is set and {names.env_name(missing[0])} is not: nobody would get a mail"
        yield Problem((missing[0], given), text, "give both, or neither")
