"""What `up` starts: folders, ports and the five servers of an instance, worked out from the settings."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from orchestration.embedded import flink_cluster, ports
from orchestration.embedded.catalog_server import catalog_server
from orchestration.embedded.jars import Jar, JarCache, Progress, read_lock
from orchestration.embedded.kafka import kafka_server
from orchestration.embedded.server import Server
from orchestration.errors import ConfigError, StackError
from orchestration.platform_config.tiers import LOCAL
from orchestration.settings import Settings
from orchestration.settings.names import env_name
from orchestration.settings.rules import is_loopback

FREE_BYTES_LEAST = 1 << 30
_FOLDERS = (
    *("run/tmp", "run/flink", "logs", "kafka", "catalog", "warehouse"),
    *("flink/conf", "flink/plugins", "flink/checkpoints", "flink/savepoints", "flink/archive"),
    *("data", "rendered", "metrics", "dagster_home"),
)
_SERVER_PORTS = ("kafka_port", "catalog_port", "flink_rest_port", "flink_sql_gateway_port")


@dataclass(frozen=True)
class Plan:
    """Settings with the chosen ports, and the servers."""

    settings: Settings
    servers: tuple[Server, ...]


def make_plan(settings: Settings, on_jars: Progress | None = None) -> Plan:
    """Prepare an instance that does not run: check, make folders, choose ports, fetch jars. Starts nothing.

    Raises:
        ConfigError: the settings name services that are not the embedded ones.
        PortInUseError: a port belongs to another process.
        StackError: too little disk space, or jars that cannot be had.
    """
    check_is_embedded(settings)
    check_disk(settings.state_dir)
    make_folders(settings.instance_dir)
    settings = choose_ports(settings)
    paths = fetch_jars(settings, on_jars)
    inner = ports.internal_ports(
        settings.instance_dir / "run" / "ports.json", str(settings.instance_dir), ("controller", "jobmanager_rpc")
    )
    flink_jars = [*paths["flink"], *paths.get("s3", [])]
    servers = (
        kafka_server(settings, paths["kafka"], inner["controller"]),
        catalog_server(settings, [*paths["catalog"], *paths.get("s3-catalog", []), *paths.get("s3", [])]),
        *flink_cluster.flink_servers(settings, flink_jars, inner["jobmanager_rpc"]),
    )
    return Plan(settings, servers)


def check_is_embedded(settings: Settings) -> None:
    """Refuse settings whose services are elsewhere."""
    if settings.platform_env not in (None, LOCAL):
        raise ConfigError(
            f"the environment {settings.platform_env} of platform.yaml has services of its own; `up` starts only those "
            f"of the environment {LOCAL}",
            hint="unset MILLRACE_PLATFORM_ENV for the embedded stack",
        )
    if settings.broker != "kafka" or settings.catalog != "rest":
        raise ConfigError(
            f"profile {settings.profile} (BROKER={settings.broker}, CATALOG={settings.catalog}) has services of its "
            "own; `up` starts only the embedded Kafka and REST catalog",
            hint="`millrace config use local` for the embedded stack",
        )
    for field in ("flink_rest_url", "flink_sql_gateway_url", "catalog_uri"):
        url: str = getattr(settings, field)
        if not is_loopback(url):
            raise ConfigError(
                f"{env_name(field)}={url} is on another machine; `up` starts servers on this one only",
                hint="unset it for the embedded stack, or use the servers that are there without `up`",
            )
    if settings.broker_security_protocol != "PLAINTEXT":
        raise ConfigError(
            "the embedded Kafka listens on loopback only and asks for no login, but BROKER_SECURITY_PROTOCOL is "
            f"{settings.broker_security_protocol}",
            hint="unset it for the embedded stack; it is for a broker of your own",
        )


def check_disk(state_dir: Path, free_bytes: Callable[[Path], int] = lambda path: shutil.disk_usage(path).free) -> None:
    """Refuse to start on a disk that is nearly full: Kafka would stop in the middle of writing.

    Raises:
        StackError: less than 1 GiB is free.
    """
    folder = next(path for path in (state_dir, *state_dir.parents) if path.exists())
    free = free_bytes(folder)
    if free < FREE_BYTES_LEAST:
        raise StackError(
            f"only {free >> 20} MiB are free in {folder}; the stack needs at least {FREE_BYTES_LEAST >> 20} MiB",
            hint="free space, or set MILLRACE_STATE_DIR to a folder on another disk",
        )


def make_folders(instance_dir: Path) -> None:
    """Make the instance's folders and empty those of temporary files."""
    for folder in ("run/tmp", "run/flink"):
        shutil.rmtree(instance_dir / folder, ignore_errors=True)
    for folder in _FOLDERS:
        (instance_dir / folder).mkdir(parents=True, exist_ok=True)
    # Flink's blobs of running jobs hold the options of their catalogs, and with them keys of a store.
    (instance_dir / "run").chmod(0o700)


def choose_ports(settings: Settings) -> Settings:
    """Return the settings with ports that are free, and write them to `stack.env`.

    The default instance uses the settings' ports. Another one gets free ports at its first start and keeps them; a port
    given by environment or profile counts for it too.
    """
    if settings.instance != "default" and not settings.stack_env_path.is_file():
        given = {"environment", "profile", "argument"}
        fields = [field for field in ports.PORT_FIELDS if settings.source_of(field) not in given]
        settings = settings.with_changes(**ports.pick_free(str(settings.instance_dir), fields))
    ports.check_free(settings, _SERVER_PORTS)
    settings.stack_env_path.write_text(ports.env_text(ports.endpoints(settings)), encoding="utf-8")
    return settings


def fetch_jars(settings: Settings, on_progress: Progress | None = None) -> dict[str, list[Path]]:
    """Return the jars of each component, fetched and verified."""
    lock = read_lock(settings.platform_dir)
    components = ("kafka", "catalog", "flink", *(["s3", "s3-catalog"] if settings.storage == "s3" else []))
    wanted: list[Jar] = [jar for component in components for jar in lock[component]]
    JarCache(settings.cache_dir / "jars").ensure(wanted, on_progress)
    return {component: jar_paths(settings, component) for component in components}


def jar_paths(settings: Settings, component: str) -> list[Path]:
    """Return where the jars of a component are in the cache, in class path order. Fetches nothing."""
    cache = JarCache(settings.cache_dir / "jars")
    return [cache.path(jar) for jar in read_lock(settings.platform_dir)[component]]
