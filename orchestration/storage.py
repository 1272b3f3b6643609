"""One mapping from settings to catalog and object-store options, so that Flink, PyIceberg and DuckDB agree.

Names of the Java side are those of `S3FileIOProperties`, `AzureProperties`, `AwsClientProperties` and
`OAuth2Properties` in Iceberg 1.11. `S3FileIO` ignores Hadoop's `fs.s3a.*` names, so none is here. Secrets that
platform.yaml names by reference are resolved here, as late as possible.
"""

from __future__ import annotations

from orchestration.errors import ConfigError
from orchestration.redaction import is_sensitive_key
from orchestration.secrets import variable_of
from orchestration.settings import Settings
from orchestration.settings.names import env_name

DuckdbValue = str | bool | dict[str, str]

_REALM = "Polaris-Realm"
_DELEGATION = "X-Iceberg-Access-Delegation"
_FILE_IO = {
    "file": "org.apache.iceberg.hadoop.HadoopFileIO",
    "s3": "org.apache.iceberg.aws.s3.S3FileIO",
    "gcs": "org.apache.iceberg.gcp.gcs.GCSFileIO",
    "azure": "org.apache.iceberg.azure.adlsv2.ADLSFileIO",
}


def oauth2_server_uri(settings: Settings) -> str:
    """Return the token endpoint of the REST catalog: the one that is given, else POST <uri>/v1/oauth/tokens."""
    return settings.catalog_oauth2_server_uri or f"{settings.catalog_uri.rstrip('/')}/v1/oauth/tokens"


def is_s3(settings: Settings) -> bool:
    """Whether files are reached by the S3 protocol: S3 itself, MinIO, or Google's compatible interface."""
    return settings.warehouse.startswith(("s3://", "s3a://"))


def catalog_credentials(settings: Settings) -> str:
    """Return where the catalog's id and secret come from, in words for error texts; empty: none are used."""
    fields = ("catalog_client_id", "catalog_client_secret")
    if settings.catalog_client_id is None and "catalog_client_id" not in settings.references:
        return ""
    refs = settings.references
    return " and ".join(variable_of(refs[name].name) if name in refs else env_name(name) for name in fields)


def wants_vended_credentials(settings: Settings) -> bool:
    """Whether the catalog shall hand out storage credentials: as given; else not for files and beside static keys."""
    if settings.storage == "file":
        return False
    if settings.catalog_access_delegation is not None:
        return settings.catalog_access_delegation == "vended-credentials"
    return settings.azure_storage_key is None if settings.storage == "azure" else settings.secret_access_key is None


def flink_catalog_options(settings: Settings) -> dict[str, str]:
    """Return the options of `CREATE CATALOG ... WITH (...)`; it holds secrets. CATALOG=hadoop is for reading only."""
    settings = settings.with_secrets()
    options = {"type": "iceberg", "catalog-type": "hadoop" if settings.catalog == "hadoop" else "rest"}
    if settings.catalog == "hadoop":
        options["warehouse"] = settings.warehouse
    else:
        options |= {"uri": settings.catalog_uri, "warehouse": settings.catalog_warehouse}
        if credentials := _oauth2(settings):
            # By itself Iceberg renews a token by exchanging it, which takes one that is still good: a session that
            # slept for longer than a token lives would never get in again.
            options |= {"rest.auth.type": "oauth2", "token-exchange-enabled": "false", **credentials}
        if settings.catalog == "polaris" and settings.catalog_realm:
            options[f"header.{_REALM}"] = settings.catalog_realm
        if wants_vended_credentials(settings):
            options[f"header.{_DELEGATION}"] = "vended-credentials"
    return options | {"io-impl": _file_io(settings)} | _java_store(settings)


def catalog_file_io(settings: Settings) -> dict[str, str]:
    """Return what the embedded catalog is told about the store of its metadata files; holds no secret.

    Its keys come from `server_environment`.
    """
    store = {name: value for name, value in _java_store(settings).items() if not is_sensitive_key(name)}
    return {"io-impl": _file_io(settings), **store}


def server_environment(settings: Settings) -> dict[str, str]:
    """Return the variables from which the embedded Java servers take the store's keys and region; it holds secrets.

    They are those of the AWS SDK's default chain, so without keys in the settings the rest of that chain decides: role,
    credentials file. An environment is neither on a command line nor in a log.
    """
    settings = settings.with_secrets()
    if not is_s3(settings):
        return {}
    found = {"AWS_REGION": settings.aws_region}
    key, secret, token = settings.access_key_id, settings.secret_access_key, settings.aws_session_token
    if key and secret:
        found |= {"AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": secret.get_secret_value()}
        found |= {"AWS_SESSION_TOKEN": token.get_secret_value()} if token else {}
    return found


def pyiceberg_properties(settings: Settings) -> dict[str, str]:
    """Return the properties of a PyIceberg REST catalog; it holds secrets.

    Raises:
        ConfigError: CATALOG is hadoop, which PyIceberg does not have.
    """
    settings = settings.with_secrets()
    _require_rest(settings, "PyIceberg")
    properties = {"uri": settings.catalog_uri, "warehouse": settings.catalog_warehouse, **_oauth2(settings)}
    if settings.catalog == "polaris" and settings.catalog_realm:
        properties[f"header.{_REALM}"] = settings.catalog_realm
    # PyIceberg asks for vended credentials unless the header is given; an empty one asks for none.
    properties[f"header.{_DELEGATION}"] = "vended-credentials" if wants_vended_credentials(settings) else ""
    return properties | pyiceberg_io_properties(settings)


def pyiceberg_io_properties(settings: Settings) -> dict[str, str]:
    """Return the object-store properties of PyIceberg, also for tables opened by their metadata file."""
    settings = settings.with_secrets()
    if settings.storage == "azure":
        properties = {"adls.account-name": settings.azure_storage_account or ""}
        if settings.azure_storage_key:
            properties["adls.account-key"] = settings.azure_storage_key.get_secret_value()
        return properties
    if not is_s3(settings):
        return {}
    properties = {"s3.region": settings.aws_region, **_s3_keys(settings)}
    if settings.s3_endpoint:
        virtual = str(not settings.s3_path_style).lower()
        properties |= {"s3.endpoint": settings.s3_endpoint, "s3.force-virtual-addressing": virtual}
    return properties


def duckdb_secret_options(settings: Settings) -> dict[str, DuckdbValue]:
    """Return the options of DuckDB's `CREATE SECRET (...)` for the object store; empty: none is needed or possible.

    Without static keys DuckDB takes what the catalog vends. Azure needs an extension that is not part of the lock.
    """
    settings = settings.with_secrets()
    key, secret = settings.access_key_id, settings.secret_access_key
    if settings.storage not in {"s3", "gcs"} or not key or not secret:
        return {}
    options: dict[str, DuckdbValue] = {"KEY_ID": key, "SECRET": secret.get_secret_value()}
    if not is_s3(settings):
        return {"TYPE": "gcs", **options}
    options = {"TYPE": "s3", **options, "REGION": settings.aws_region, "USE_SSL": settings.duckdb_s3_use_ssl}
    if settings.aws_session_token:
        options["SESSION_TOKEN"] = settings.aws_session_token.get_secret_value()
    if settings.duckdb_s3_endpoint:
        options["ENDPOINT"] = settings.duckdb_s3_endpoint
    options["URL_STYLE"] = "path" if settings.s3_path_style else "vhost"
    # No SCOPE: the default covers s3:// and s3a://, and a catalog may keep tables under either.
    return options


def _file_io(settings: Settings) -> str:
    return _FILE_IO["s3"] if is_s3(settings) else _FILE_IO[settings.storage]


def _java_store(settings: Settings) -> dict[str, str]:
    if settings.storage == "azure":
        if settings.azure_storage_key is None:
            return {}
        return {
            "adls.auth.shared-key.account.name": settings.azure_storage_account or "",
            "adls.auth.shared-key.account.key": settings.azure_storage_key.get_secret_value(),
        }
    if not is_s3(settings):
        return {}
    options = {"client.region": settings.aws_region, **_s3_keys(settings)}
    if settings.s3_endpoint:
        options["s3.endpoint"] = settings.s3_endpoint
    if settings.s3_path_style:
        options["s3.path-style-access"] = "true"
    return options


def _s3_keys(settings: Settings) -> dict[str, str]:
    """Return the static keys, or nothing: then the default credential chain or vended credentials decide."""
    key, secret, token = settings.access_key_id, settings.secret_access_key, settings.aws_session_token
    if not key or not secret:
        return {}
    keys = {"s3.access-key-id": key, "s3.secret-access-key": secret.get_secret_value()}
    return keys | ({"s3.session-token": token.get_secret_value()} if token else {})


def _oauth2(settings: Settings) -> dict[str, str]:
    client, secret = settings.catalog_client_id, settings.catalog_client_secret
    if not client or not secret:
        return {}
    return {
        "credential": f"{client}:{secret.get_secret_value()}",
        "scope": settings.catalog_scope,
        "oauth2-server-uri": oauth2_server_uri(settings),
    }


def _require_rest(settings: Settings, engine: str) -> None:
    if settings.catalog == "hadoop":
        raise ConfigError(
            f"CATALOG=hadoop: {engine} has no such catalog",
            hint="use CATALOG=rest or polaris; tables of a hadoop catalog are read by Flink or by their metadata file",
        )
