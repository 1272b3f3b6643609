"""The settings model: fields, defaults, and values derived from them. Rules between fields are in `rules.py`."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, PrivateAttr, SecretStr, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from orchestration.errors import ConfigError
from orchestration.redaction import MASK, is_sensitive_key, redact
from orchestration.settings import names, problems, rules

Port = Annotated[int, Field(ge=1, le=65535)]
Seconds = Annotated[float, Field(ge=1)]
Data = dict[str, Any]


def _repo_root() -> Path:
    return Path(__file__).resolve().parents[2]


def _instance_path(*parts: str) -> Any:
    """Return a default factory for a path in the instance's state folder."""
    return lambda data: Path(data["state_dir"], data["instance"], *parts)


def _loopback(port: str) -> Any:
    """Return a default factory for the loopback address of the server whose port field is `port`."""
    return lambda data: f"http://127.0.0.1:{data[port]}"


def _host(endpoint: str | None) -> str:
    return (urlsplit(endpoint or "").hostname or "").lower()


def is_foreign_s3(endpoint: str | None) -> bool:
    """Whether `endpoint` is an S3-compatible server of somebody else than AWS (MinIO, Ceph, ...)."""
    host = _host(endpoint)
    return bool(host) and not host.endswith((".amazonaws.com", ".amazonaws.com.cn", ".googleapis.com"))


class Settings(BaseSettings):
    """All settings of one instance, checked. The name in the environment is the upper-case field name (`names.py`).

    Constructing it reads neither files nor the environment: that is `load_settings`. Unknown names are ignored.

    Raises:
        ConfigError: with every problem, one a line; no secret is in it.
    """

    model_config = SettingsConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True, validate_default=True)

    # Where things are
    repo_root: Path = Field(default_factory=_repo_root, description="the checkout")
    profile: str = Field(default="local", description="name of the active profile")
    instance: str = Field(default="default", pattern=r"^[a-z0-9][a-z0-9_-]{0,31}$", description="which local stack")
    state_dir: Path = Field(
        default_factory=lambda d: Path(d["repo_root"], ".millrace"), description="state of all instances"
    )
    cache_dir: Path = Field(
        default_factory=lambda: Path.home() / ".cache" / "millrace", description="jars; shared by checkouts"
    )
    datasets_dir: Path = Field(default_factory=lambda d: Path(d["repo_root"], "platform", "datasets"))

    # The four axes
    broker: Literal["kafka", "redpanda"] = Field(default="kafka", description="broker product")
    catalog: Literal["rest", "polaris", "hadoop"] = Field(default="rest", description="Iceberg catalog")
    storage: Literal["file", "s3", "gcs", "azure"] = Field(default="file", description="where table files live")
    mode: Literal["batch", "streaming"] = Field(default="batch", description="how bronze is fed")

    # Dataset and topics
    dataset: str = Field(default="taxi", pattern=r"^[a-z][a-z0-9_]{0,63}$", description="folder in platform/datasets")
    topic: str | None = Field(default=None, description="main topic; None: the contract's")
    dlq_topic: str | None = Field(default=None, description="topic of rejected rows; None: the contract's")
    topic_partitions: int = Field(default=4, ge=1)
    dlq_partitions: int = Field(default=1, ge=1)
    topic_retention_ms: int = Field(default=259_200_000, ge=-1, description="-1: for ever")
    dlq_retention_ms: int = Field(default=604_800_000, ge=-1, description="-1: for ever")
    dlq_max: int = Field(default=0, ge=0, description="dead letters tolerated by validation")

    # Broker
    kafka_port: Port = 9092
    broker_url: str = Field(
        default_factory=lambda d: f"127.0.0.1:{d['kafka_port']}", description="host:port[,host:port]"
    )

    # Flink
    flink_rest_port: Port = 8081
    flink_sql_gateway_port: Port = 8083
    flink_rest_url: str = Field(default_factory=_loopback("flink_rest_port"))
    flink_sql_gateway_url: str = Field(default_factory=_loopback("flink_sql_gateway_port"))
    flink_parallelism: int = Field(default=2, ge=1)
    flink_task_slots: int = Field(default=4, ge=1)
    checkpoint_interval_ms: int = Field(default=10_000, ge=100)

    # Catalog
    catalog_port: Port = 8181
    catalog_uri: str | None = Field(
        # Only the embedded catalog has an address of its own; it keeps its warehouse in files.
        default_factory=lambda d: (
            f"http://127.0.0.1:{d['catalog_port']}" if (d["catalog"], d["storage"]) == ("rest", "file") else None
        ),
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
        default_factory=lambda d: (
            Path(d["state_dir"], d["instance"], "warehouse").absolute().as_uri() + "/" if d["storage"] == "file" else ""
        ),
        description="root of the table files, with scheme",
    )
    s3_endpoint: str | None = Field(default=None, description="with scheme; None: AWS")
    s3_use_ssl: bool = Field(default_factory=lambda d: not (d["s3_endpoint"] or "").lower().startswith("http:"))
    s3_path_style: bool = Field(default_factory=lambda d: is_foreign_s3(d["s3_endpoint"]))
    duckdb_s3_endpoint: str | None = Field(
        default_factory=lambda d: urlsplit(d["s3_endpoint"] or "").netloc or None, description="without scheme"
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

    # Generator
    data_path: str = Field(
        default_factory=lambda d: str(Path(d["state_dir"], d["instance"], "data")),
        description="file, folder, glob or s3://",
    )
    generator_mode: Literal["burst", "realtime", "batch"] = "burst"
    speed_factor: float = Field(default=1.0, gt=0, description="realtime: event seconds a wall-clock second")
    rate_limit: int = Field(default=0, ge=0, description="events a second; 0: unlimited")
    batch_size: int = Field(default=1000, ge=1)
    batch_delay: float = Field(default=1.0, ge=0, description="seconds between two batches")
    max_events: int = Field(default=0, ge=0, description="0: all")
    validate_schema: bool = Field(default=True, description="check rows against the contract before they are sent")
    key_field: str | None = Field(default=None, description="column of the message key; None: the contract's")
    metrics_path: Path = Field(default_factory=_instance_path("metrics", "generator.json"))
    producer_flush_timeout_s: Seconds = 30.0

    # Silver
    silver_window_start: date | None = Field(default=None, description="None: the contract's")
    silver_window_end: date | None = Field(default=None, description="exclusive; None: the contract's")

    # Memory of the embedded stack
    kafka_heap_mb: int = Field(default=256, ge=128)
    catalog_heap_mb: int = Field(default=96, ge=64)
    jobmanager_memory_mb: int = Field(default=1024, ge=768)
    taskmanager_memory_mb: int = Field(default=1728, ge=1024)
    gateway_heap_mb: int = Field(default=256, ge=128)

    # Time limits
    stack_timeout_s: Seconds = Field(default=120.0, description="`up`: until everything is ready")
    job_timeout_s: Seconds = 1800.0
    http_timeout_s: Seconds = 5.0
    broker_timeout_s: Seconds = 15.0
    iceberg_query_timeout_s: Seconds = 90.0
    iceberg_metadata_timeout_s: Seconds = 30.0
    dlq_read_timeout_s: Seconds = 10.0
    dbt_test_timeout_s: Seconds = 300.0
    wait_for_silver_timeout_s: Seconds = 90.0
    wait_for_silver_poll_s: float = Field(default=5.0, gt=0)
    wait_for_silver_min_rows: int = Field(default=1, ge=0)

    # Validation
    allow_empty: bool = Field(default=False, description="an empty silver is a result, not a failure")
    bronze_completeness_ratio: float = Field(default=1.0, gt=0, le=1)
    require_run_metrics: bool = True
    run_metrics_max_age_minutes: int = Field(default=120, ge=1)
    allow_stale_run_metrics: bool = False

    ui_port: Port = Field(default=3000, description="Dagster's web server")

    _sources: dict[str, str] = PrivateAttr(default_factory=dict)
    _notes: tuple[str, ...] = PrivateAttr(default=())

    if not TYPE_CHECKING:  # keeps the typed constructor that pydantic synthesizes

        def __init__(self, **values: Any) -> None:
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
                    raise problems.as_error(found) from None
            found += [problem for problem in rules.check(self) if not wrong.intersection(problem.fields)]
            if found:
                raise problems.as_error(found)

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

    @property
    def instance_dir(self) -> Path:
        """State folder of this instance."""
        return self.state_dir / self.instance

    @property
    def stack_env_path(self) -> Path:
        """File in which `up` leaves the endpoints that it chose."""
        return self.instance_dir / "stack.env"

    @property
    def gold_path(self) -> Path:
        """DuckDB file of the marts."""
        return self.instance_dir / "gold.duckdb"

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
        given = {name: getattr(self, name) for name in self.model_fields_set}
        changed = Settings(**(given | changes))
        changed._sources = self._sources | dict.fromkeys(changes, "argument")
        changed._notes = self._notes
        return changed

    def redacted_dump(self) -> dict[str, Any]:
        """Return all values for people and logs: JSON types, secrets masked."""
        dump = self.model_dump(mode="json")
        return {name: _masked(name, value) for name, value in dump.items()}

    def source_of(self, field: str) -> str:
        """Return where a value came from: environment, argument, stack.env, profile or default."""
        return self._sources.get(field, "argument" if field in self.model_fields_set else "default")

    def warnings(self) -> list[str]:
        """Return what is allowed but probably not meant."""
        return [*self._notes, *(str(problem) for problem in rules.warn(self))]


def _masked(name: str, value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    return MASK if name in SECRET or is_sensitive_key(name) else redact(str(value))


def _fields_with(part: str) -> frozenset[str]:
    return frozenset(name for name, field in Settings.model_fields.items() if part in str(field.annotation))


SECRET = _fields_with("SecretStr")
"""Fields that hold a secret."""
OPTIONAL = _fields_with("None") - {"topic", "dlq_topic"}
"""Fields for which blank means: not given. A blank topic is a mistake, not a choice."""
