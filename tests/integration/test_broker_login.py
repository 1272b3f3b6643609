"""A broker that asks who one is: everything logs in, and a wrong password is one clear error."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace

import psutil
import pytest

from orchestration.broker.admin import ensure_topics
from orchestration.broker.client import open_admin
from orchestration.embedded.kafka import format_storage, kafka_server, server_properties
from orchestration.embedded.plan import jar_paths, make_folders
from orchestration.embedded.server import properties
from orchestration.errors import MillraceError, UnreachableError
from orchestration.settings import Settings
from orchestration.waiting import wait_for
from tests.integration.lake import ENDPOINTS, Lake, closed_port, make_lake

pytestmark = pytest.mark.stack

USER, PASSWORD, WRONG = "lake", 'Pl4nted"\\broker word', "Wr0ng planted word"
_LOGIN = "org.apache.kafka.common.security.plain.PlainLoginModule required"


@dataclass(frozen=True)
class Guarded:
    """A lake whose broker asks for a login, and the broker's own settings."""

    lake: Lake
    broker: Settings


def login_of(password: str) -> dict[str, str]:
    """Return the settings of a login."""
    return {
        "broker_security_protocol": "SASL_PLAINTEXT",
        "broker_username": USER,
        "broker_password": password,
    }


def jaas(password: str) -> str:
    """Return the broker's own login and its one user."""
    quoted = '"' + password.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return f"{_LOGIN} username={USER} password={quoted} user_{USER}={quoted};"


@pytest.fixture(scope="module")
def guarded(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """Kafka with the listener SASL_PLAINTEXT alone, and Flink, catalog and store of the session."""
    folder = tmp_path_factory.mktemp("login")
    port, controller = closed_port(), closed_port()
    broker = Settings(state_dir=folder / "broker", cache_dir=settings.cache_dir, kafka_port=port)
    make_folders(broker.instance_dir)
    listener = "listener.name.sasl_plaintext"
    config = {
        **server_properties(broker, controller),
        "listeners": f"SASL_PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}",
        "advertised.listeners": f"SASL_PLAINTEXT://127.0.0.1:{port}",
        "listener.security.protocol.map": "SASL_PLAINTEXT:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT",
        "inter.broker.listener.name": "SASL_PLAINTEXT",
        "sasl.mechanism.inter.broker.protocol": "PLAIN",
        "sasl.enabled.mechanisms": "PLAIN",
        f"{listener}.plain.sasl.jaas.config": jaas(PASSWORD),
    }
    jars = jar_paths(broker, "kafka")
    server = kafka_server(broker, jars, controller)
    [file] = server.files
    server = replace(server, files={file: properties(config)})
    server.write_files(broker.instance_dir)
    format_storage(broker, jars)
    with (broker.instance_dir / "logs" / "kafka.log").open("wb") as log:
        process = subprocess.Popen(
            ["/bin/sh", "-c", f"exec {server.command(broker.instance_dir)}"], stdout=log, stderr=log
        )
    try:
        lake = make_lake(settings, folder, **login_of(PASSWORD))
        own = lake.settings.with_changes(
            **{field: getattr(lake.settings, field) for field in ENDPOINTS} | {"broker_url": f"127.0.0.1:{port}"}
        )
        lake = Lake(own, lake.contract, folder)
        wait_for(lambda: _answers(own), what="the guarded broker", timeout_s=120)
        yield Guarded(lake, broker)
        lake.drop()
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _answers(settings: Settings) -> tuple[bool | None, object]:
    try:
        open_admin(settings.with_changes(broker_timeout_s=1.0))
    except UnreachableError as error:
        return None, error.message
    return True, "answered"


def test_producer_reader_and_flink_log_in(guarded: Guarded) -> None:
    lake = guarded.lake
    lake.land(lake.sample("2024-01", 400, 0.1))
    bronze, _ = lake.load()
    counts = lake.counts()
    assert bronze.rows == counts.bronze > 0
    assert counts.produced == counts.bronze + counts.dead_lettered
    assert counts.bronze == counts.silver + counts.duplicates + counts.rejected


@pytest.mark.parametrize(
    "login",
    [login_of(WRONG), {**login_of(PASSWORD), "broker_username": "nobody"}],
    ids=["wrong password", "unknown user"],
)
def test_a_refused_login_is_told_at_once_and_without_the_password(guarded: Guarded, login: dict[str, str]) -> None:
    settings = guarded.lake.settings.with_changes(**login, broker_timeout_s=60.0)
    with pytest.raises(MillraceError) as error:
        ensure_topics(settings, guarded.lake.contract)
    assert "refused the login" in error.value.message
    assert "BROKER_PASSWORD" in str(error.value.hint)
    assert error.value.exit_code == 4
    assert not [word for word in (WRONG, PASSWORD) if word in str(error.value)]


def test_the_password_is_in_no_rendered_file_no_log_and_no_list_of_processes(
    guarded: Guarded, settings: Settings
) -> None:
    folders = (guarded.lake.settings.instance_dir, settings.instance_dir / "logs")
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    assert [path for path in files if path.suffix == ".sql"]
    holding = [path for path in files if b"Pl4nted" in path.read_bytes()]
    assert [path.name for path in holding if path.name != "broker.jaas"] == []
    assert [path.stat().st_mode & 0o077 for path in holding if path.name == "broker.jaas"] in ([], [0])
    assert not [
        process for process in psutil.process_iter(["cmdline"]) if "Pl4nted" in " ".join(process.info["cmdline"] or [])
    ]
