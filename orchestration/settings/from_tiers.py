"""Settings from the two tiers: what `millrace.yaml` and `platform.yaml` say, under the names that settings have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from orchestration.platform_config.base import EMBEDDED, Reference
from orchestration.platform_config.document import Document, Path_, dotted
from orchestration.platform_config.engines import Compute, Engines
from orchestration.platform_config.resources import ResourceProfile
from orchestration.platform_config.stores import Catalog, Storage
from orchestration.platform_config.tiers import Tiers
from orchestration.secrets import PAIR, SecretRef

_CATALOGS = {"polaris": "polaris", "rest": "rest", "nessie": "rest"}
_STORAGES = {"s3": "s3", "gcs": "gcs", "azure": "azure", "local": "file"}
_SCHEMES = {"s3": "s3", "gcs": "gs", "azure": "abfss"}
_LOCAL_FOLDER = "warehouse"
"""Folder of the embedded stack in the instance's folder: the default, which follows the instance."""


@dataclass
class TierValues:
    """Values by field.

    Attributes:
        values: rank below the environment.
        pinned: rank above it: what `compute.<name>.properties` fixes.
        sources, pinned_sources: file, line and key of each.
        references: secrets by the field that they fill.
        variables: of the resource profile, by name: settings and others.
    """

    values: dict[str, str] = field(default_factory=dict[str, str])
    pinned: dict[str, str] = field(default_factory=dict[str, str])
    sources: dict[str, str] = field(default_factory=dict[str, str])
    pinned_sources: dict[str, str] = field(default_factory=dict[str, str])
    references: dict[str, SecretRef] = field(default_factory=dict[str, SecretRef])
    variables: dict[str, str] = field(default_factory=dict[str, str])
    variables_source: str = ""


@dataclass(frozen=True)
class _Into:
    """Takes values of one document."""

    result: TierValues
    document: Document
    environment: str

    def put(self, name: str, value: object, path: Path_) -> None:
        """Take a value; None is nothing, a reference is remembered."""
        if value is None:
            return
        if isinstance(value, Reference):
            self.refer(name, value.secret_ref, path)
            return
        self.result.values[name] = str(value).lower() if isinstance(value, bool) else str(value)
        self.result.sources[name] = self.source(path)

    def pin(self, name: str, value: object, path: Path_) -> None:
        """Take a value that goes before the environment."""
        if value is not None:
            self.result.pinned[name] = str(value).lower() if isinstance(value, bool) else str(value)
            self.result.pinned_sources[name] = self.source(path)

    def refer(self, name: str, secret: str, path: Path_) -> None:
        """Remember a reference."""
        self.result.references[name] = SecretRef(secret, self.source(path), self.environment)
        self.result.sources[name] = self.source(path)

    def source(self, path: Path_) -> str:
        """Return file, line and key."""
        return f"{self.document.where(path)} {dotted(path)}"


def tier_values(tiers: Tiers, instance_dir: Path) -> TierValues:
    """Return what the tiers say; relative folders are taken in `instance_dir`."""
    result = TierValues()
    project = _Into(result, tiers.project_file, tiers.environment)
    if tiers.project.datasets:
        project.put("dataset", tiers.project.datasets[0], ("datasets", 0))
    project.put("mode", tiers.project.mode, ("mode",))
    platform = tiers.platform
    if platform is None or tiers.platform_file is None:
        return result
    into = _Into(result, tiers.platform_file, tiers.environment)
    names = tiers.project
    _engines(into, platform.engines)
    _catalog(into, platform.catalogs[names.catalog], ("catalogs", names.catalog))
    _storage(into, platform.storage[names.storage], ("storage", names.storage), instance_dir)
    _compute(into, platform.compute[names.compute], ("compute", names.compute), instance_dir)
    if names.resource_profile is not None:
        profile = platform.infrastructure.resource_profiles[names.resource_profile]
        _resources(into, profile, ("infrastructure", "resource_profiles", names.resource_profile))
    return result


def _engines(into: _Into, engines: Engines) -> None:
    broker, flink = engines.broker, engines.flink
    if "broker" in engines.model_fields_set:
        into.put("broker", broker.type, ("engines", "broker", "type"))
    into.put("broker_url", broker.bootstrap_servers, ("engines", "broker", "bootstrap_servers"))
    for name, value, key in (
        ("flink_rest_url", flink.rest_url, "rest_url"),
        ("flink_sql_gateway_url", flink.sql_gateway_url, "sql_gateway_url"),
        ("flink_parallelism", flink.parallelism, "parallelism"),
        ("checkpoint_interval_ms", flink.checkpoint_interval_ms, "checkpoint_interval_ms"),
        ("sql_engine_savepoint_dir", flink.savepoint_dir, "savepoint_dir"),
    ):
        into.put(name, value, ("engines", "flink", key))


def _catalog(into: _Into, catalog: Catalog, path: Path_) -> None:
    into.put("catalog", _CATALOGS[catalog.type], (*path, "type"))
    if catalog.uri != EMBEDDED:
        into.put("catalog_uri", catalog.uri, (*path, "uri"))
    into.put("catalog_warehouse", catalog.warehouse, (*path, "warehouse"))
    into.put("catalog_realm", catalog.realm, (*path, "realm"))
    into.put("catalog_oauth2_server_uri", catalog.oauth2_server_uri, (*path, "oauth2_server_uri"))
    into.put("catalog_access_delegation", catalog.access_delegation, (*path, "access_delegation"))
    credentials = (*path, "credentials")
    into.put("catalog_client_id", catalog.credentials.client_id, (*credentials, "client_id"))
    into.put("catalog_client_secret", catalog.credentials.client_secret, (*credentials, "client_secret"))
    into.put("catalog_scope", catalog.credentials.scope, (*credentials, "scope"))


def _storage(into: _Into, storage: Storage, path: Path_, instance_dir: Path) -> None:
    into.put("storage", _STORAGES[storage.type], (*path, "type"))
    if storage.type == "local":
        if storage.bucket != _LOCAL_FOLDER:
            into.put("warehouse", f"file://{instance_dir / storage.bucket}/", (*path, "bucket"))
        return
    prefix = f"{storage.prefix.strip('/')}/" if storage.prefix.strip("/") else ""
    into.put("warehouse", f"{_SCHEMES[storage.type]}://{storage.bucket}/{prefix}", (*path, "bucket"))
    if storage.type == "azure":
        into.put("azure_storage_account", storage.bucket.partition("@")[2].split(".")[0], (*path, "bucket"))
        return
    into.put("s3_endpoint", storage.endpoint, (*path, "endpoint"))
    into.put("aws_region", storage.region, (*path, "region"))
    into.put("s3_path_style", storage.path_style_access, (*path, "path_style_access"))
    if storage.credentials.secret_ref is not None:
        for name in PAIR:
            into.refer(name, storage.credentials.secret_ref, (*path, "credentials", "secret_ref"))


def _compute(into: _Into, compute: Compute, path: Path_, instance_dir: Path) -> None:
    properties, at = compute.properties, (*path, "properties")
    into.pin("duckdb_threads", properties.threads, (*at, "threads"))
    into.pin("duckdb_memory_limit", properties.memory_limit, (*at, "memory_limit"))
    spill = properties.max_temp_directory_size
    into.pin("duckdb_max_temp_directory_size", spill, (*at, "max_temp_directory_size"))
    into.pin("duckdb_allow_extension_download", properties.allow_extension_download, (*at, "allow_extension_download"))
    for name, value, key in (
        ("duckdb_path", properties.path, "path"),
        ("duckdb_temp_directory", properties.temp_directory, "temp_directory"),
        ("duckdb_extension_directory", properties.extension_directory, "extension_directory"),
    ):
        into.pin(name, None if value is None else instance_dir / value, (*at, key))


def _resources(into: _Into, profile: ResourceProfile, path: Path_) -> None:
    into.result.variables.update(profile.settings())
    into.result.variables_source = into.source(path)


def split_variables(found: TierValues, known: Mapping[str, str]) -> dict[str, str]:
    """Move those variables of the resource profile that are settings into the values; return the others."""
    others: dict[str, str] = {}
    for name, value in found.variables.items():
        if name in known:
            found.values[known[name]] = value
            found.sources[known[name]] = found.variables_source
        else:
            others[name] = value
    return others
