"""Tier 2: where table files are, and the catalogs that keep the tables."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationInfo, field_validator, model_validator

from orchestration.platform_config.base import CatalogUri, Endpoint, Strict, Url
from orchestration.platform_config.credentials import Credentials

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_NAMESPACE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")

ATTACH_OPTIONS = frozenset(
    {
        "DEFAULT_SCHEMA",
        "DISABLE_MULTI_TABLE_COMMIT",
        "ENCODE_ENTIRE_PREFIX",
        "EXTRA_HTTP_HEADERS",
        "MAX_TABLE_STALENESS",
        "PURGE_REQUESTED",
        "READ_ONLY",
        "REMOVE_FILES_ON_DELETE",
        "SECRET",
        "STAGE_CREATE_TABLES",
        "SUPPORT_NESTED_NAMESPACES",
    }
)
"""Options of DuckDB 1.5.5's ATTACH that have no key of their own."""


def be_namespace(value: str) -> str:
    """Return `value` if it is one namespace.

    Raises:
        ValueError: it is not, or it is nested.
    """
    if "." in value:
        raise ValueError(
            f"the namespace {value!r} is nested, which DuckDB cannot create | name one level, without the warehouse"
        )
    if not _NAMESPACE.fullmatch(value):
        raise ValueError(f"{value!r} is no namespace | a letter first, then letters, digits and _")
    return value


Namespace = Annotated[str, AfterValidator(be_namespace)]


class Storage(Strict):
    """An object store, or a folder for development. MinIO and LocalStack are `s3` with an endpoint."""

    type: Literal["s3", "gcs", "azure", "local"] = "s3"
    endpoint: Endpoint | None = Field(default=None, description="with scheme; none: the provider's own")
    region: str = "us-east-1"
    bucket: str = Field(description="bucket; azure: container@account host; local: folder, relative to the instance's")
    prefix: str = Field(default="", description="folder in the bucket; empty: its root")
    path_style_access: bool = Field(default=False, description="bucket in the path: true for MinIO and LocalStack")
    credentials: Credentials = Credentials()

    @field_validator("bucket")
    @classmethod
    def _be_bucket(cls, value: str, info: ValidationInfo) -> str:
        if info.data.get("type") == "local":
            if not value or "://" in value or value.startswith("~"):
                raise ValueError(
                    f"{value!r} is no folder | write a path, relative to the instance's folder or absolute"
                )
        elif info.data.get("type") == "azure":
            if value.count("@") != 1:
                raise ValueError(f"{value!r} names no account | write container@account.dfs.core.windows.net")
        elif not _BUCKET.fullmatch(value):
            raise ValueError(
                f"{value!r} is no bucket | 3 to 63 lower-case letters, digits, dots and dashes, without scheme or path"
            )
        return value

    @model_validator(mode="after")
    def _be_possible(self) -> Storage:
        if self.credentials.mode == "oauth2":
            raise ValueError("storage takes no oauth2 credentials | use static with secret_ref, or iam_role")
        return self


class Catalog(Strict):
    """An Iceberg REST catalog."""

    type: Literal["polaris", "rest", "nessie", "glue", "hive"] = "polaris"
    uri: CatalogUri = Field(description="base of the REST protocol, up to and without /v1; Polaris: …/api/catalog")
    warehouse: str = Field(min_length=1, max_length=256, description="must exist on the server; Polaris: the catalog")
    namespace: Namespace = Field(default="default", description="base namespace")
    credentials: Credentials = Credentials()
    access_delegation: Literal["vended-credentials", "remote-signing", "none"] = Field(
        default="vended-credentials", description="none for a local folder and for S3 without STS"
    )
    token_refresh_enabled: bool = True
    oauth2_server_uri: Url | None = Field(default=None, description="none: <uri>/v1/oauth/tokens")
    realm: str | None = Field(default=None, description="Polaris realm; none: the server's own")
    credential_style: Literal["secret", "inline"] = Field(
        default="secret", description="inline: every model can read the credentials in duckdb_databases()"
    )
    properties: dict[str, Any] = Field(default={}, description="further options of DuckDB's ATTACH")

    @field_validator("type")
    @classmethod
    def _be_supported(cls, value: str) -> str:
        if value in {"glue", "hive"}:
            raise ValueError(
                f"catalogs of type {value} are not supported, only Iceberg's REST protocol is known to all engines "
                "| put an Iceberg REST catalog before it, and use type rest"
            )
        return value

    @field_validator("access_delegation")
    @classmethod
    def _be_known_to_duckdb(cls, value: str) -> str:
        if value == "remote-signing":
            raise ValueError(
                "remote-signing is not possible, DuckDB does not know it | use vended-credentials, or none"
            )
        return value

    @field_validator("properties")
    @classmethod
    def _be_options(cls, value: dict[str, Any]) -> dict[str, Any]:
        upper = {name.upper(): item for name, item in value.items()}
        if wrong := sorted(set(upper) - ATTACH_OPTIONS):
            raise ValueError(
                f"{wrong[0]} is no option of ATTACH that stands here | known: {', '.join(sorted(ATTACH_OPTIONS))}"
            )
        return upper

    @model_validator(mode="after")
    def _hold_together(self) -> Catalog:
        if self.credentials.mode in {"iam_role", "service_account"}:
            raise ValueError(f"a REST catalog takes no credentials of mode {self.credentials.mode} | use oauth2")
        if self.type == "polaris" and self.credentials.mode != "oauth2":
            raise ValueError("a polaris catalog needs credentials | set credentials.mode to oauth2, with references")
        if self.credentials.secret_ref is not None:
            raise ValueError("a catalog's credentials are oauth2, secret_ref alone names none | set mode oauth2")
        return self
