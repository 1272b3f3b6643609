"""The Kafka broker: one node that is its own controller (KRaft), on loopback."""

from __future__ import annotations

import base64
import subprocess
import uuid
from collections.abc import Sequence
from pathlib import Path

from orchestration.embedded.java import java_binary
from orchestration.embedded.server import Server, argument_file, class_path, common_jvm_args, properties
from orchestration.errors import StackError
from orchestration.settings import Settings


def server_properties(settings: Settings, controller_port: int) -> dict[str, object]:
    """Return the broker's configuration.

    Replication factors are 1 and internal topics small, so that a first start takes seconds. The broker stamps records
    with their arrival (LogAppendTime): silver's "latest arrival wins" needs a time that grows with the offset.
    """
    return {
        "process.roles": "broker,controller",
        "node.id": 1,
        "controller.quorum.voters": f"1@127.0.0.1:{controller_port}",
        "listeners": f"PLAINTEXT://127.0.0.1:{settings.kafka_port},CONTROLLER://127.0.0.1:{controller_port}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{settings.kafka_port}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "controller.listener.names": "CONTROLLER",
        "inter.broker.listener.name": "PLAINTEXT",
        "log.dirs": settings.instance_dir / "kafka",
        "auto.create.topics.enable": "false",
        "default.replication.factor": 1,
        "offsets.topic.replication.factor": 1,
        "offsets.topic.num.partitions": 1,
        "transaction.state.log.replication.factor": 1,
        "transaction.state.log.min.isr": 1,
        "transaction.state.log.num.partitions": 1,
        "share.coordinator.state.topic.replication.factor": 1,
        "share.coordinator.state.topic.min.isr": 1,
        "share.coordinator.state.topic.num.partitions": 1,
        "group.initial.rebalance.delay.ms": 0,
        "log.message.timestamp.type": "LogAppendTime",
        # A folder is preallocated for the index of every segment; small ones keep an idle stack small on disk.
        "log.index.size.max.bytes": 2 * 1024 * 1024,
        "log.cleaner.dedupe.buffer.size": 16 * 1024 * 1024,
        "num.network.threads": 2,
        "num.io.threads": 4,
        "background.threads": 2,
        "num.recovery.threads.per.data.dir": 2,
        "metadata.log.max.record.bytes.between.snapshots": 20 * 1024 * 1024,
        # A broker that was killed may register again only when the session of its former life has run out.
        "broker.heartbeat.interval.ms": 500,
        "broker.session.timeout.ms": 4000,
        "queued.max.requests": 100,
    }


def kafka_server(settings: Settings, jars: Sequence[Path], controller_port: int) -> Server:
    """Return the broker as a supervised server."""
    run_dir = settings.instance_dir / "run"
    config = run_dir / "server.properties"
    logging = settings.platform_dir / "kafka" / "log4j2.properties"
    args = [
        *common_jvm_args(run_dir, heap_mb=settings.kafka_heap_mb, is_short_lived_code=False),
        "-XX:+UseSerialGC",
        f"-Dlog4j2.configurationFile={logging.as_uri()}",
        "-Dlog4j2.disable.jmx=true",
        "-cp",
        class_path(jars),
        "kafka.Kafka",
        str(config),
    ]
    return Server(
        name="kafka",
        title="Kafka",
        java_args=tuple(args),
        port=settings.kafka_port,
        url=f"127.0.0.1:{settings.kafka_port}",
        files={config: properties(server_properties(settings, controller_port))},
        stop_wait_s=20,
    )


def format_storage(settings: Settings, jars: Sequence[Path]) -> bool:
    """Format the data folder if it never was; returns whether it did. `server.properties` must be written.

    Raises:
        StackError: the tool failed; carries its last line.
    """
    run_dir, data_dir = settings.instance_dir / "run", settings.instance_dir / "kafka"
    if (data_dir / "meta.properties").is_file():
        return False
    data_dir.mkdir(parents=True, exist_ok=True)
    arguments = run_dir / "kafka-format.args"
    cluster_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
    logging = settings.platform_dir / "kafka" / "log4j2.properties"
    arguments.write_text(
        argument_file(
            [
                *common_jvm_args(run_dir, heap_mb=64, is_short_lived_code=True),
                "-XX:+UseSerialGC",
                f"-Dlog4j2.configurationFile={logging.as_uri()}",
                "-cp",
                class_path(jars),
                "kafka.tools.StorageTool",
                "format",
                "--ignore-formatted",
                f"--cluster-id={cluster_id}",
                "--config",
                str(run_dir / "server.properties"),
            ]
        ),
        encoding="utf-8",
    )
    done = subprocess.run(
        [str(java_binary()), f"@{arguments}"], capture_output=True, text=True, timeout=120, check=False
    )
    if done.returncode != 0:
        lines = (done.stderr + done.stdout).strip().splitlines() or ["no output"]
        raise StackError(f"Kafka's data folder {data_dir} could not be formatted: {lines[-1]}")
    return True
