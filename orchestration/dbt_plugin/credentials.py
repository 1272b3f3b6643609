"""Secrets of the catalog and the object store, resolved as late as possible and kept in wrapped types."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import SecretStr

from orchestration.dbt_plugin.plugin_config import PluginConfig, StorageConfig
from orchestration.secrets import SecretPlaces, SecretRef, find_pair, find_secret, unresolved, variable_of
from orchestration.settings import Settings
from orchestration.storage import DuckdbValue, catalog_credentials, duckdb_secret_options

_WANTED_BY = "the plugin's configuration"


@dataclass(frozen=True)
class Credentials:
    """What the plugin needs to know and nobody may see.

    Attributes:
        client_id: None: the catalog is asked without credentials.
        storage: options of CREATE SECRET for the object store; empty: none is needed, or the catalog vends them.
        names: where id and secret come from, in words, for error texts.
    """

    client_id: str | None = None
    client_secret: SecretStr | None = None
    storage: Mapping[str, DuckdbValue] = field(default_factory=dict[str, DuckdbValue], repr=False)
    names: str = ""

    @property
    def values(self) -> tuple[str, ...]:
        """Every secret, to be removed from texts."""
        own = (self.client_secret.get_secret_value(),) if self.client_secret else ()
        return own + tuple(str(self.storage[name]) for name in ("SECRET", "SESSION_TOKEN") if name in self.storage)


def resolve_credentials(config: PluginConfig, places: SecretPlaces) -> Credentials:
    """Return the values behind a profile's references.

    Raises:
        SecretReferenceError: names every reference without a value, before any service is called.
    """
    missing: list[SecretRef] = []

    def value(key: str, name: str | None) -> SecretStr | None:
        found = find_secret(name, places) if name else None
        if name and found is None:
            missing.append(SecretRef(name, f"{_WANTED_BY}: {key}"))
        return found

    client_id = value("client_id_ref", config.client_id_ref)
    client_secret = value("client_secret_ref", config.client_secret_ref)
    ref = config.storage.credential_ref
    pair = find_pair(ref, places) if ref else None
    if ref and pair is None:
        missing.append(SecretRef(ref, f"{_WANTED_BY}: storage.credential_ref"))
    if missing:
        raise unresolved(missing, places)
    names = [variable_of(name) for name in (config.client_id_ref, config.client_secret_ref) if name]
    return Credentials(
        client_id=client_id.get_secret_value() if client_id else config.client_id,
        client_secret=client_secret,
        storage=_storage_secret(config.storage, *pair) if pair else {},
        names=" and ".join(names),
    )


def credentials_of(settings: Settings) -> Credentials:
    """Return the values that the settings hold or refer to.

    Raises:
        SecretReferenceError: as `Settings.with_secrets`.
    """
    settings = settings.with_secrets()
    return Credentials(
        client_id=settings.catalog_client_id,
        client_secret=settings.catalog_client_secret,
        storage=duckdb_secret_options(settings),
        names=catalog_credentials(settings),
    )


def _storage_secret(storage: StorageConfig, key: str, secret: SecretStr) -> dict[str, DuckdbValue]:
    options: dict[str, DuckdbValue] = {"KEY_ID": key, "SECRET": secret.get_secret_value()}
    if storage.type == "gcs":
        return {"TYPE": "gcs", **options}
    endpoint = storage.endpoint or ""
    options = {"TYPE": "s3", **options, "REGION": storage.region, "USE_SSL": not endpoint.startswith("http://")}
    if endpoint:
        options["ENDPOINT"] = endpoint.partition("://")[2].rstrip("/")
    return options | {"URL_STYLE": "path" if storage.path_style else "vhost"}
