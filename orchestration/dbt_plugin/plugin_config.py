"""The plugin's configuration: what a profile's `plugins[0].config` may hold. No secret, only names of secrets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from orchestration.errors import ConfigError
from orchestration.naming import CATALOG
from orchestration.platform_config import engines, stores
from orchestration.redaction import is_sensitive_key
from orchestration.settings import Settings
from orchestration.storage import oauth2_server_uri, wants_vended_credentials

PropertyValue = bool | int | str | dict[str, str]
"""Value of a further ATTACH option; a mapping is sent as a DuckDB MAP."""

Url = Annotated[str, Field(pattern=r"^https?://[^\s/@]+(?:/[^\s@]*)?$")]
SecretName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,252}$")]
Identifier = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,127}$")]

SECRET_MANAGER_SETTINGS = engines.SECRET_MANAGER_SETTINGS
"""DuckDB refuses to SET these once a secret was used, and dbt-duckdb sets a profile's settings on every cursor."""

ATTACH_PROPERTIES = stores.ATTACH_OPTIONS
"""Options of ATTACH that DuckDB 1.5.5 takes beyond those that have a key of their own; platform.yaml takes the same."""

_OWN_KEYS = {
    "ACCESS_DELEGATION_MODE": "access_delegation",
    "AUTHORIZATION_TYPE": "client_id_ref",
    "CLIENT_ID": "client_id_ref",
    "CLIENT_SECRET": "client_secret_ref",
    "DEFAULT_REGION": "storage.region",
    "ENDPOINT": "catalog_uri",
    "OAUTH2_SCOPE": "scope",
    "OAUTH2_SERVER_URI": "oauth2_server_uri",
    "TYPE": "catalog_type",
    "URI": "catalog_uri",
}


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class StorageConfig(_Model):
    """Where the table files are.

    Attributes:
        type: `local` is a folder that catalog and engines share.
        endpoint: with scheme; None: the provider's own.
        path_style: bucket in the path, not in the host name.
        credential_ref: name of a secret that holds `access key id:secret access key`; None: the catalog vends them, or
            the environment's AWS variables count.
    """

    type: Literal["local", "s3", "gcs", "azure"] = "s3"
    endpoint: Url | None = None
    region: str = Field(default="us-east-1", pattern=r"^[a-z0-9-]{1,64}$")
    path_style: bool = False
    credential_ref: SecretName | None = None


class PluginConfig(_Model):
    """How dbt's DuckDB reaches the lakehouse.

    Attributes:
        catalog_uri: base of the REST catalog; for Polaris it ends in `/api/catalog`.
        warehouse: its warehouse (in Polaris: the catalog).
        alias: name of the attached database.
        client_id: the id itself, when it is no secret; at most one of it and `client_id_ref`.
        client_id_ref: name of the secret with the id; without both the catalog is asked without credentials.
        client_secret_ref: name of the secret.
        scope: of the token, such as `PRINCIPAL_ROLE:dbt`.
        realm: Polaris realm; None: the server's default.
        oauth2_server_uri: token endpoint; None: that of the catalog.
        namespaces: that must exist after attaching.
        create_namespaces: make missing ones instead of refusing.
        extension_directory: where DuckDB looks for extensions that are not bundled; None: its default.
        allow_extension_download: let DuckDB fetch extensions that are not bundled.
        memory_limit, temp_directory, max_temp_directory_size, threads: of DuckDB; None: its default.
        timeout_s: for attaching, retries included.
        retries: of a request that met no server, 5xx or 429.
        credential_style: `secret` keeps the credentials in a temporary secret; with `inline` every model can read them
            in `duckdb_databases()`.
        properties: further ATTACH options, names in upper case.
    """

    catalog_uri: Url
    warehouse: str = Field(min_length=1, max_length=256)
    alias: Identifier = CATALOG
    catalog_type: Literal["rest", "polaris", "nessie"] = "polaris"
    client_id: str | None = Field(default=None, min_length=1, pattern=r"^[^:\x00-\x1f]+$")
    client_id_ref: SecretName | None = None
    client_secret_ref: SecretName | None = None
    scope: str | None = Field(default=None, min_length=1)
    realm: str | None = Field(default=None, min_length=1)
    oauth2_server_uri: Url | None = None
    access_delegation: Literal["vended-credentials", "none"] = "vended-credentials"
    namespaces: tuple[Identifier, ...] = ()
    create_namespaces: bool = False
    storage: StorageConfig = StorageConfig()
    extension_directory: str | None = None
    allow_extension_download: bool = False
    memory_limit: str | None = Field(default=None, pattern=r"^\d+(\.\d+)? ?([KMGT]i?B|bytes)$")
    threads: int | None = Field(default=None, ge=1)
    temp_directory: str | None = None
    max_temp_directory_size: str | None = Field(default=None, pattern=r"^\d+(\.\d+)? ?([KMGT]i?B|bytes)$")
    timeout_s: float = Field(default=30.0, gt=0, le=600)
    retries: int = Field(default=3, ge=0, le=10)
    credential_style: Literal["secret", "inline"] = "secret"
    properties: dict[str, PropertyValue] = {}

    @field_validator("catalog_uri", "oauth2_server_uri")
    @classmethod
    def _end_without_slash(cls, value: str | None) -> str | None:
        return value.rstrip("/") if value else value

    @field_validator("properties")
    @classmethod
    def _be_known(cls, value: dict[str, PropertyValue]) -> dict[str, PropertyValue]:
        upper = {name.upper(): item for name, item in value.items()}
        for name in upper:
            if own := _OWN_KEYS.get(name):
                raise ValueError(f"{name} is set by the key {own}")
            if name not in ATTACH_PROPERTIES:
                raise ValueError(f"{name} is no option of ATTACH; there are {', '.join(sorted(ATTACH_PROPERTIES))}")
        headers = upper.get("EXTRA_HTTP_HEADERS", {})
        if not isinstance(headers, dict):
            raise ValueError("EXTRA_HTTP_HEADERS is a mapping of header to value")
        if secret := sorted(name for name in headers if is_sensitive_key(name)):
            raise ValueError(f"the header {secret[0]} would hold a secret in clear; use client_secret_ref")
        return upper

    @model_validator(mode="after")
    def _agree(self) -> PluginConfig:
        if self.client_id is not None and self.client_id_ref is not None:
            raise ValueError("client_id and client_id_ref exclude each other")
        if self.has_client != (self.client_secret_ref is not None):
            raise ValueError("a client id and client_secret_ref go together, only one of them is set")
        if "SECRET" in self.properties and self.has_client:
            raise ValueError("properties.SECRET and client_secret_ref exclude each other")
        return self

    @property
    def has_client(self) -> bool:
        """Whether the catalog is asked with client credentials."""
        return self.client_id is not None or self.client_id_ref is not None

    @property
    def token_uri(self) -> str:
        """The token endpoint: POST of client credentials."""
        return self.oauth2_server_uri or f"{self.catalog_uri}/v1/oauth/tokens"

    @classmethod
    def from_profile(cls, given: Mapping[str, Any]) -> PluginConfig:
        """Return the configuration of a profile's `plugins[0].config`.

        Raises:
            ConfigError: with every problem, one a line; no value is in it.
        """
        try:
            return cls.model_validate(dict(given))
        except ValidationError as error:
            lines = [f"{'.'.join(map(str, one['loc'])) or 'config'}: {one['msg']}" for one in error.errors()]
            raise ConfigError(
                "the lakehouse plugin's configuration is refused: " + "; ".join(lines),
                hint="`millrace compile` writes it from platform.yaml",
            ) from None

    @classmethod
    def from_settings(cls, settings: Settings) -> PluginConfig:
        """Return the configuration that the settings ask for; references are those of platform.yaml, or name settings.

        Raises:
            ConfigError: the catalog is hadoop, has no address, or has an id without its secret.
        """
        if settings.catalog == "hadoop":
            raise ConfigError("CATALOG=hadoop: DuckDB has no such catalog", hint="use CATALOG=rest or polaris")
        if not settings.catalog_uri:
            raise ConfigError("CATALOG_URI is not set", hint="`millrace config show` prints every setting")
        refs = {name: ref.name for name, ref in settings.references.items()}
        client = None if "catalog_client_id" in refs else settings.catalog_client_id
        has_client = client is not None or "catalog_client_id" in refs
        if has_client != (settings.catalog_client_secret is not None or "catalog_client_secret" in refs):
            raise ConfigError("CATALOG_CLIENT_ID and CATALOG_CLIENT_SECRET go together, only one of them is set")
        return cls(
            catalog_uri=settings.catalog_uri,
            warehouse=settings.catalog_warehouse,
            catalog_type=settings.catalog,
            client_id=client,
            client_id_ref=refs.get("catalog_client_id"),
            client_secret_ref=refs.get("catalog_client_secret", "catalog-client-secret") if has_client else None,
            scope=settings.catalog_scope if has_client else None,
            realm=settings.catalog_realm if settings.catalog == "polaris" else None,
            oauth2_server_uri=oauth2_server_uri(settings) if has_client else None,
            access_delegation="vended-credentials" if wants_vended_credentials(settings) else "none",
            storage=StorageConfig(
                type="local" if settings.storage == "file" else settings.storage,
                endpoint=settings.s3_endpoint,
                region=settings.aws_region,
                path_style=settings.s3_path_style,
                credential_ref=refs.get("aws_access_key_id"),
            ),
            memory_limit=settings.duckdb_memory_limit,
            threads=settings.duckdb_threads,
            temp_directory=str(settings.duckdb_temp_directory),
            max_temp_directory_size=settings.duckdb_max_temp_directory_size,
            extension_directory=str(settings.duckdb_extension_directory or "") or None,
            allow_extension_download=settings.duckdb_allow_extension_download,
        )
