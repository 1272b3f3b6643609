"""The settings model: fields, defaults, and values derived from them. Rules between fields are in `rules.py`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, PrivateAttr, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from orchestration.errors import ConfigError
from orchestration.redaction import MASK, is_sensitive_key, redact
from orchestration.secrets import MOUNT_ROOT, SecretPlaces, SecretRef, secret_for, unresolved
from orchestration.settings import names, problems, rules
from orchestration.settings.broker_security import BrokerSecuritySettings
from orchestration.settings.compute import ComputeSettings
from orchestration.settings.limits import LimitSettings
from orchestration.settings.maintenance import MaintenanceSettings
from orchestration.settings.origin import Origin
from orchestration.settings.pipeline import PipelineSettings, Port
from orchestration.settings.sql_engine import SqlEngineSettings
from orchestration.settings.streams import StreamSettings

Data = dict[str, Any]
_FOLDERS = ("repo_root", "state_dir", "cache_dir", "datasets_dir", "secrets_dir", "duckdb_temp_directory")


def checkout() -> Path:
    """Return the root of the repository that this module is in."""
    return Path(__file__).resolve().parents[2]


def _instance_path(*parts: str) -> Any:
    """Return a default factory for a path in the instance's state folder."""
    return lambda data: Path(data["state_dir"], data["instance"], *parts)


def _is_embedded_catalog(data: Data) -> bool:
    return data["catalog"] == "rest" and (
        data["storage"] == "file" or (data["profile"], data["storage"]) == ("local", "s3")
    )


class Settings(
    SqlEngineSettings,
    MaintenanceSettings,
    StreamSettings,
    LimitSettings,
    ComputeSettings,
    PipelineSettings,
    BrokerSecuritySettings,
):
    """All settings of one instance, checked. The name in the environment is the upper-case field name (`names.py`).

    Constructing it reads neither files nor the environment: that is `load_settings`. Unknown names are ignored.

    Raises:
        ConfigError: with every problem, one a line; no secret is in it.
    """

    model_config = SettingsConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True, allow_inf_nan=False)

    # Where things are
    repo_root: Path = Field(default_factory=checkout, description="the checkout")
    profile: str = Field(default="local", description="name of the active profile")
    instance: str = Field(default="default", pattern=r"^[a-z0-9][a-z0-9_-]{0,31}$", description="which local stack")
    state_dir: Path = Field(
        default_factory=lambda d: Path(d["repo_root"], ".millrace"), description="state of all instances"
    )
    cache_dir: Path = Field(
        default_factory=lambda: Path.home() / ".cache" / "millrace", description="jars; shared by checkouts"
    )
    datasets_dir: Path = Field(default_factory=lambda d: Path(d["repo_root"], "platform", "datasets"))
    secrets_dir: Path = Field(default=MOUNT_ROOT, description="folder of mounted secrets")
    platform_env: str | None = Field(default=None, description="environment of platform.yaml; None: local")
    platform_file: Path | None = Field(default=None, description="None: platform/<env>/platform.yaml or platform.yaml")

    # The four axes
    broker: Literal["kafka", "redpanda"] = Field(default="kafka", description="broker product")
    catalog: Literal["rest", "polaris", "hadoop"] = Field(default="rest", description="Iceberg catalog")
    storage: Literal["file", "s3", "gcs", "azure"] = Field(default="file", description="where table files live")
    mode: Literal["batch", "streaming"] = Field(default="batch", description="how bronze is fed")

    # Catalog
    catalog_port: Port = 8181
    catalog_uri: str = Field(
        # Only the embedded catalog has an address of its own: with files, and under the profile `local` with S3 too.
        default_factory=lambda d: f"http://127.0.0.1:{d['catalog_port']}" if _is_embedded_catalog(d) else "",
    )
    catalog_warehouse: str = Field(
        default="lakehouse", description="name of the warehouse (Polaris: the catalog) in the REST catalog"
    )
    catalog_client_id: str | None = None
    catalog_client_secret: SecretStr | None = None
    catalog_scope: str = "PRINCIPAL_ROLE:ALL"
    catalog_realm: str | None = Field(default=None, description="Polaris realm; None: the server's default")

    # Object store
    warehouse: str = Field(
        # Not as_uri(): Hadoop, DuckDB and PyIceberg take the path of a file address as it is, percent signs included.
        default_factory=lambda d: (
            f"file://{Path(d['state_dir'], d['instance'], 'warehouse')}/" if d["storage"] == "file" else ""
        ),
        description="root of the table files, with scheme",
    )
    s3_endpoint: str | None = Field(default=None, description="with scheme; None: AWS")
    s3_use_ssl: bool = Field(default_factory=lambda d: rules.is_tls(d["s3_endpoint"]))
    s3_path_style: bool = Field(default_factory=lambda d: rules.is_foreign_s3(d["s3_endpoint"]))
    duckdb_s3_endpoint: str | None = Field(
        default_factory=lambda d: rules.authority_of(d["s3_endpoint"]), description="without scheme"
    )
    duckdb_s3_use_ssl: bool = Field(default_factory=lambda d: d["s3_use_ssl"])
    aws_access_key_id: str | None = Field(default=None, description="None: role-based")
    aws_secret_access_key: SecretStr | None = None
    aws_session_token: SecretStr | None = None
    aws_region: str = "us-east-1"
    minio_root_user: str | None = Field(default=None, description="used when AWS_ACCESS_KEY_ID is not set")
    minio_root_password: SecretStr | None = None
    azure_storage_account: str | None = None
    azure_storage_key: SecretStr | None = None

    # Files of the generator
    data_path: str = Field(
        default_factory=lambda d: str(Path(d["state_dir"], d["instance"], "data")),
        description="file, folder, glob or s3://",
    )
    metrics_path: Path = Field(default_factory=_instance_path("metrics", "generator.json"))

    # Gold
    duckdb_temp_directory: Path = Field(
        default_factory=_instance_path("tmp", "duckdb"), description="where DuckDB spills"
    )
    gold_target: Literal["iceberg", "duckdb"] = Field(
        default="iceberg", description="marts as Iceberg tables in the catalog, or in a local DuckDB file"
    )

    ui_port: Port = Field(default=3000, description="Dagster's web server")

    _origin: Origin = PrivateAttr(default=Origin())

    if not TYPE_CHECKING:  # keeps the typed constructor that pydantic synthesizes

        def __init__(self, *, pending: frozenset[str] = frozenset(), **values: Any) -> None:
            """Check the values. Rules about `pending` fields are left out: secrets that are looked up when needed."""
            values = names.clean(values, OPTIONAL, SECRET)
            try:
                super().__init__(**values)
            except ValidationError as error:
                found = problems.of_fields(error, values)
            else:
                found = []
            wrong = {name for problem in found for name in problem.fields}
            if wrong:
                # A second try without them lets the rules speak about the rest, so that all problems come at once.
                try:
                    super().__init__(**{name: value for name, value in values.items() if name not in wrong})
                except ValidationError:
                    raise problems.SettingsError(found) from None
            unknown = wrong | pending
            found += [problem for problem in rules.check(self) if unknown.isdisjoint(problem.fields)]
            if found:
                refused = {name: _masked(name, values.get(name)) for name in wrong}
                raise problems.SettingsError(found, self.redacted_dump() | refused)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Leave only the constructor's arguments."""
        return (init_settings,)

    @field_validator("warehouse")
    @classmethod
    def _end_with_slash(cls, value: str) -> str:
        return f"{value.rstrip('/')}/" if value.strip("/ ") and not value.endswith("://") else value

    @field_validator(
        "flink_rest_url", "flink_sql_gateway_url", "catalog_uri", "catalog_oauth2_server_uri", "s3_endpoint"
    )
    @classmethod
    def _end_without_slash(cls, value: str | None) -> str | None:
        return value.rstrip("/") if value else value

    @field_validator("silver_window_start", "silver_window_end", mode="before")
    @classmethod
    def _be_a_day(cls, value: object) -> object:
        # pydantic would take a bare number as seconds since 1970.
        if isinstance(value, str) and not re.fullmatch(r"\d{4}-\d{2}-\d{2}", value.strip()):
            raise ValueError("write a date such as 2024-01-31")
        return value.strip() if isinstance(value, str) else value

    @field_validator(
        "repo_root", "state_dir", "cache_dir", "datasets_dir", "secrets_dir", "metrics_path", "duckdb_temp_directory"
    )
    @classmethod
    def _be_absolute(cls, value: Path, info: ValidationInfo) -> Path:
        if value.parts[:1] == ("~",):
            raise ValueError("write the whole path, values are never expanded")
        # Servers and Dagster's processes start in other folders: a relative path would mean another place there.
        return value if value.is_absolute() else Path(info.data.get("repo_root") or Path.cwd(), value)

    @property
    def instance_dir(self) -> Path:
        """State folder of this instance."""
        return self.state_dir / self.instance

    @property
    def stack_env_path(self) -> Path:
        """File in which `up` leaves the endpoints that it chose."""
        return self.instance_dir / "stack.env"

    @property
    def secret_places(self) -> SecretPlaces:
        """Where references to secrets are looked up: the environment these settings were loaded from, and the mount."""
        return SecretPlaces(self._origin.environ, self.secrets_dir)

    @property
    def gold_path(self) -> Path:
        """DuckDB file of the marts."""
        return self.duckdb_path or self.instance_dir / "gold.duckdb"

    @property
    def query_registry(self) -> str:
        """Where persistent queries are remembered: a SQLAlchemy URL."""
        given = self.sql_engine_registry
        if given and "://" in given:
            return given
        return f"sqlite:///{Path(self.repo_root, given) if given else self.instance_dir / 'queries.sqlite'}"

    @property
    def connector_profiles_path(self) -> Path:
        """YAML of connector profiles."""
        return self.sql_engine_profiles or self.platform_dir / "connectors.yml"

    @property
    def queries_dir(self) -> Path:
        """Folder of declared persistent queries."""
        return self.repo_root / "flink_sql" / "queries"

    @property
    def dagster_home(self) -> Path:
        """Folder of the Dagster instance."""
        return self.instance_dir / "dagster_home"

    @property
    def platform_dir(self) -> Path:
        """Folder of configuration files."""
        return self.repo_root / "platform"

    @property
    def duckdb_warehouse(self) -> str:
        """The warehouse as DuckDB spells it: `s3a://` is Hadoop's name of `s3://`."""
        return (
            "s3://" + self.warehouse.removeprefix("s3a://") if self.warehouse.startswith("s3a://") else self.warehouse
        )

    @property
    def access_key_id(self) -> str | None:
        """Effective access key: the AWS one, else MinIO's root user, else None (role-based)."""
        return self.aws_access_key_id or self.minio_root_user

    @property
    def secret_access_key(self) -> SecretStr | None:
        """Effective secret key, by the same order."""
        return self.aws_secret_access_key or self.minio_root_password

    def require_writable_catalog(self) -> None:
        """Refuse catalogs that are only read.

        Raises:
            ConfigError: CATALOG is hadoop.
        """
        if self.catalog == "hadoop":
            raise ConfigError(
                "CATALOG=hadoop is for reading and migrating tables only: its commits are file renames, which are not "
                "atomic on object stores and which DuckDB and PyIceberg cannot take part in",
                hint="write with CATALOG=rest or CATALOG=polaris",
            )

    def with_changes(self, **changes: Any) -> Settings:
        """Return checked settings with some values replaced; values derived from them are derived again."""
        changed = self._checked(changes)
        return changed.from_origin(
            replace(self._origin, sources={**self._origin.sources, **dict.fromkeys(changes, "argument")})
        )

    def _checked(self, changes: Mapping[str, Any]) -> Settings:
        values: Data = {name: getattr(self, name) for name in self.model_fields_set}
        values |= {**changes, "pending": frozenset(self.pending) - changes.keys()}
        return Settings(**values)

    @property
    def references(self) -> Mapping[str, SecretRef]:
        """Secrets of platform.yaml by the field that they fill."""
        return self._origin.references

    @property
    def pending(self) -> Mapping[str, SecretRef]:
        """The references that no variable and no mounted file gave a value to."""
        return {name: ref for name, ref in self.references.items() if not getattr(self, name)}

    def with_secrets(self) -> Settings:
        """Return the settings with every reference resolved, secret managers asked. Call it before the first service.

        Raises:
            SecretReferenceError: names every reference that has no value, with all places looked at.
        """
        found: dict[str, Any] = {}
        missing: dict[str, SecretRef] = {}
        for name, ref in self.pending.items():
            value = secret_for(name, ref.name, self.secret_places)
            if value is None:
                missing[ref.name] = ref
            else:
                found[name] = value
        if missing:
            raise unresolved(list(missing.values()), self.secret_places)
        return self._checked(found).from_origin(self._origin) if found else self

    def from_origin(self, origin: Origin) -> Settings:
        """Return the same settings, with a note of where they came from."""
        result = self.model_copy()
        result._origin = origin
        return result

    def child_environ(self) -> dict[str, str]:
        """Return the variables that make a child process load the same profile and instance."""
        file = self._origin.profile_path
        named = {"MILLRACE_PLATFORM_ENV": self.platform_env, "MILLRACE_PLATFORM_FILE": self.platform_file}
        return {
            **({"MILLRACE_PROFILE": str(file) if file else self.profile} if file or not self.platform_env else {}),
            **{name: str(value) for name, value in named.items() if value is not None},
            "MILLRACE_INSTANCE": self.instance,
            "MILLRACE_STATE_DIR": str(self.state_dir),
        }

    def redacted_dump(self) -> dict[str, Any]:
        """Return all values for people and logs: JSON types, secrets masked."""
        dump = self.model_dump(mode="json")
        return {name: _masked(name, value) for name, value in dump.items()}

    def source_of(self, name: str) -> str:
        """Return where a value came from: argument, environment, stack.env, the profile file's name, or default."""
        return self._origin.sources.get(name, "argument" if name in self.model_fields_set else "default")

    def trail_of(self, name: str) -> list[tuple[str, str]]:
        """Return every (source, value) that a field was given, the one that counts first; secrets masked."""
        return [(source, str(_masked(name, value))) for source, value in reversed(self._origin.trail.get(name, ()))]

    @property
    def profile_path(self) -> Path | None:
        """File of the active profile; None: defaults only."""
        return self._origin.profile_path

    def warnings(self) -> list[str]:
        """Return what is allowed but probably not meant."""
        return [*self._origin.notes, *(str(problem) for problem in rules.warn(self))]


def _masked(name: str, value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    return MASK if name in SECRET or is_sensitive_key(name) else redact(str(value))


def _fields_with(part: str) -> frozenset[str]:
    return frozenset(name for name, info in Settings.model_fields.items() if part in str(info.annotation))


SECRET = _fields_with("SecretStr")
"""Fields that hold a secret."""
OPTIONAL = _fields_with("None") - {"topic", "dlq_topic"}
"""Fields for which blank means: not given. A blank topic is a mistake, not a choice."""
