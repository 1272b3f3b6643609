"""The Flink session cluster: JobManager, TaskManager and SQL Gateway, on loopback, without ZooKeeper."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

from orchestration.embedded.flink_memory import JobManagerMemory, TaskManagerMemory
from orchestration.embedded.java import MODULE_FLAGS
from orchestration.embedded.server import Server, class_path, common_jvm_args
from orchestration.errors import StackError
from orchestration.settings import Settings
from orchestration.storage import server_environment

_OWN_JARS = (
    "flink-dist",
    "flink-table-api-java-uber",
    "flink-table-runtime",
    "flink-table-planner-loader",
    "flink-json",
    "flink-csv",
    "flink-connector-files",
    "flink-cep",
    "log4j-api",
    "log4j-core",
    "log4j-slf4j-impl",
    "log4j-1.2-api",
)


def flink_library_jars() -> list[Path]:
    """Return Flink's own jars, from the Python package apache-flink-libraries (found without importing it).

    Raises:
        StackError: the package is missing or has other jars.
    """
    spec = find_spec("pyflink")
    roots = [Path(root) / "lib" for root in (spec.submodule_search_locations or [])] if spec else []
    found = {path.name: path for root in roots for path in sorted(root.glob("*.jar"))}
    result = [next((path for name, path in found.items() if name.startswith(f"{jar}-")), None) for jar in _OWN_JARS]
    missing = [jar for jar, path in zip(_OWN_JARS, result, strict=True) if path is None]
    if missing:
        raise StackError(
            f"Flink's jars are not installed: {', '.join(missing)}",
            hint="delete .venv and run ./millrace again; it installs the Python package apache-flink-libraries",
        )
    return [path for path in result if path is not None]


def cluster_config(settings: Settings, rpc_port: int) -> dict[str, object]:
    """Return the options that the three processes share (`config.yaml`)."""
    flink_dir, run_dir = settings.instance_dir / "flink", settings.instance_dir / "run"
    loopback = "127.0.0.1"
    memory = TaskManagerMemory.split(settings.taskmanager_memory_mb)
    return {
        "jobmanager.rpc.address": loopback,
        "jobmanager.rpc.port": rpc_port,
        "jobmanager.bind-host": loopback,
        "taskmanager.host": loopback,
        "taskmanager.bind-host": loopback,
        "taskmanager.resource-id": f"taskmanager-{settings.instance}",
        "taskmanager.numberOfTaskSlots": settings.flink_task_slots,
        "taskmanager.cpu.cores": float(settings.flink_task_slots),
        "parallelism.default": settings.flink_parallelism,
        "rest.address": loopback,
        "rest.bind-address": loopback,
        "rest.port": settings.flink_rest_port,
        "rest.bind-port": str(settings.flink_rest_port),
        "web.submit.enable": False,
        "execution.target": "remote",
        "sql-gateway.endpoint.rest.address": loopback,
        "sql-gateway.endpoint.rest.bind-address": loopback,
        "sql-gateway.endpoint.rest.port": settings.flink_sql_gateway_port,
        "sql-gateway.endpoint.rest.bind-port": str(settings.flink_sql_gateway_port),
        "sql-gateway.session.idle-timeout": "30 min",
        "sql-gateway.session.check-interval": "1 min",
        "state.backend.type": "rocksdb",
        "execution.checkpointing.incremental": True,
        "execution.checkpointing.interval": f"{settings.checkpoint_interval_ms} ms",
        "execution.checkpointing.dir": (flink_dir / "checkpoints").as_uri(),
        "execution.checkpointing.savepoint-dir": (flink_dir / "savepoints").as_uri(),
        # There is no high availability service: what a restarted JobManager finds are these files (docs/adr/0001).
        "execution.checkpointing.externalized-checkpoint-retention": "RETAIN_ON_CANCELLATION",
        "jobmanager.archive.fs.dir": (flink_dir / "archive").as_uri(),
        # A job that cannot work ends within seconds; one that runs for months survives a fault now and then.
        "restart-strategy.type": "failure-rate",
        "restart-strategy.failure-rate.max-failures-per-interval": 3,
        "restart-strategy.failure-rate.failure-rate-interval": "5 min",
        "restart-strategy.failure-rate.delay": "2 s",
        # A killed TaskManager is noticed by refused connections long before its heartbeat runs out.
        "heartbeat.interval": "2 s",
        # How long the REST API answers from its copy of a job. With Flink's 3 s every job seems to end 3 s late.
        "web.refresh-interval": "100 ms",
        # How old the metrics may be that it answers with; Flink's 10 s would make each page of metrics as old.
        "metrics.fetcher.update-interval": "2 s",
        # So long a TaskManager waits for a JobManager that was killed before it turns to the new one.
        "heartbeat.timeout": "10 s",
        "heartbeat.rpc-failure-threshold": 2,
        "taskmanager.registration.initial-backoff": "200 ms",
        "taskmanager.registration.max-backoff": "2 s",
        "slot.request.timeout": "120 s",
        "classloader.check-leaked-classloader": False,
        "io.tmp.dirs": str(run_dir / "tmp"),
        "process.working-dir": str(run_dir / "flink"),
        "web.tmpdir": str(run_dir / "tmp"),
        "blob.storage.directory": str(run_dir / "tmp"),
        **memory.keys(),
    }


def config_yaml(options: Mapping[str, object]) -> str:
    """Return `config.yaml`: flat keys; JSON scalars are YAML scalars."""
    return "".join(f"{key}: {json.dumps(value)}\n" for key, value in options.items())


def flink_servers(settings: Settings, jars: Sequence[Path], rpc_port: int) -> tuple[Server, Server, Server]:
    """Return JobManager, TaskManager and SQL Gateway.

    Args:
        jars: the connectors and Iceberg; Flink's own jars are added.
    """
    instance_dir, run_dir = settings.instance_dir, settings.instance_dir / "run"
    conf_dir = instance_dir / "flink" / "conf"
    logging = settings.platform_dir / "flink" / "log4j2.properties"
    path = class_path([*flink_library_jars(), *jars])
    config = {conf_dir / "config.yaml": config_yaml(cluster_config(settings, rpc_port))}
    shared = [
        *MODULE_FLAGS,
        "-XX:+IgnoreUnrecognizedVMOptions",
        f"-Dlog4j.configurationFile={logging.as_uri()}",
        "-Dlog4j2.disable.jmx=true",
        "-cp",
        path,
    ]
    manager, tasks = (
        JobManagerMemory.split(settings.jobmanager_memory_mb),
        TaskManagerMemory.split(settings.taskmanager_memory_mb),
    )
    jobmanager = Server(
        name="jobmanager",
        title="Flink JobManager",
        java_args=(
            *common_jvm_args(run_dir, heap_mb=manager.heap_mb, is_short_lived_code=True),
            "-XX:+UseSerialGC",
            f"-XX:MaxMetaspaceSize={manager.metaspace_mb}m",
            *shared,
            "org.apache.flink.runtime.entrypoint.StandaloneSessionClusterEntrypoint",
            "--configDir",
            str(conf_dir),
            "--executionMode",
            "cluster",
        ),
        port=settings.flink_rest_port,
        url=settings.flink_rest_url,
        files=config,
    )
    taskmanager = Server(
        name="taskmanager",
        title="Flink TaskManager",
        java_args=(
            *common_jvm_args(run_dir, heap_mb=tasks.heap_mb, is_short_lived_code=False),
            "-XX:+UseParallelGC",
            f"-XX:MaxDirectMemorySize={tasks.direct_mb}m",
            f"-XX:MaxMetaspaceSize={tasks.metaspace_mb}m",
            *shared,
            "org.apache.flink.runtime.taskexecutor.TaskManagerRunner",
            "--configDir",
            str(conf_dir),
        ),
        after=("jobmanager",),
    )
    gateway = Server(
        name="gateway",
        title="Flink SQL Gateway",
        java_args=(
            *common_jvm_args(run_dir, heap_mb=settings.gateway_heap_mb, is_short_lived_code=True),
            "-XX:+UseSerialGC",
            *shared,
            "org.apache.flink.table.gateway.SqlGateway",
        ),
        port=settings.flink_sql_gateway_port,
        url=settings.flink_sql_gateway_url,
    )
    return jobmanager, taskmanager, gateway


def environment(settings: Settings) -> dict[str, str]:
    """Return the variables that the servers read; it holds the store's keys."""
    conf_dir = settings.instance_dir / "flink" / "conf"
    return {
        "FLINK_CONF_DIR": str(conf_dir),
        # An empty folder: without the variable Flink looks into the working directory.
        "FLINK_PLUGINS_DIR": str(settings.instance_dir / "flink" / "plugins"),
        "FLINK_LIB_DIR": str(settings.instance_dir / "flink" / "plugins"),
        # glibc: few arenas instead of eight a core, so that freed native memory is used again.
        "MALLOC_ARENA_MAX": "2",
        **server_environment(settings),
    }
