"""Choosing ports and naming the owner of a busy one."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestration.embedded import plan, ports
from orchestration.embedded.ports import PortOwner, env_text, in_use_error, pick_free
from orchestration.embedded.stack import check_same_ports
from orchestration.errors import PortInUseError, StackError
from orchestration.settings import Settings, load_settings


@pytest.mark.parametrize(
    ("field", "owner", "message", "setting"),
    [
        pytest.param(
            "kafka_port",
            PortOwner("java", 42),
            "port 9092 for Kafka is in use by java (pid 42)",
            "KAFKA_PORT",
            id="ours",
        ),
        pytest.param(
            "catalog_port",
            PortOwner(None, None),
            "port 9092 for the Iceberg catalog is in use by a process of another user",
            "CATALOG_PORT",
            id="hidden",
        ),
    ],
)
def test_a_busy_port_names_owner_and_setting(field: str, owner: PortOwner, message: str, setting: str) -> None:
    error = in_use_error(field, 9092, owner)
    assert error.message == message
    assert setting in (error.hint or "")


def test_free_ports_differ_and_busy_ones_are_passed_over() -> None:
    first = pick_free("seed", ["a", "b", "c"], free=lambda port: True)
    assert len(set(first.values())) == 3
    busy = set(first.values())
    assert not busy & set(pick_free("seed", ["a", "b", "c"], free=lambda port: port not in busy).values())


def test_the_choice_depends_on_the_instance_only() -> None:
    def choose(seed: str) -> dict[str, int]:
        return pick_free(seed, ["a"], free=lambda port: True)

    assert choose("/x/one") == choose("/x/one")
    assert choose("/x/one") != choose("/x/two")


def test_internal_ports_stay_while_they_are_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "is_free", lambda port: True)
    path = tmp_path / "ports.json"
    first = ports.internal_ports(path, "seed", ["a", "b"])
    assert ports.internal_ports(path, "other seed", ["a", "b"]) == first
    path.write_text("no json", encoding="utf-8")
    assert set(ports.internal_ports(path, "seed", ["a", "b"])) == {"a", "b"}


def settings_of(tmp_path: Path, instance: str, **environ: str) -> Settings:
    return load_settings(environ={"MILLRACE_STATE_DIR": str(tmp_path), "MILLRACE_INSTANCE": instance} | environ)


def test_the_default_instance_takes_the_settings_ports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "listener_of", lambda port: None)
    settings = settings_of(tmp_path, "default")
    settings.instance_dir.mkdir()
    assert plan.choose_ports(settings).kafka_port == 9092
    assert "KAFKA_PORT=9092" in settings.stack_env_path.read_text(encoding="utf-8")


def test_another_instance_gets_ports_of_its_own_and_keeps_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "listener_of", lambda port: None)
    settings = settings_of(tmp_path, "second", CATALOG_PORT="8999")
    settings.instance_dir.mkdir()
    chosen = plan.choose_ports(settings)
    assert chosen.kafka_port != 9092
    assert chosen.broker_url == f"127.0.0.1:{chosen.kafka_port}"
    assert chosen.catalog_port == 8999
    again = plan.choose_ports(settings_of(tmp_path, "second"))
    assert (again.kafka_port, again.catalog_uri) == (chosen.kafka_port, "http://127.0.0.1:8999")


def test_a_busy_port_stops_before_anything_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "listener_of", lambda port: PortOwner("nginx", 7) if port == 8081 else None)
    settings = settings_of(tmp_path, "default")
    settings.instance_dir.mkdir()
    with pytest.raises(PortInUseError, match=r"8081 .*nginx \(pid 7\)"):
        plan.choose_ports(settings)
    assert not settings.stack_env_path.exists()


def test_stack_env_is_lines_of_key_and_value() -> None:
    assert env_text({"A": "1", "B": "x y"}).splitlines()[1:] == ["A=1", "B=x y"]


def test_settings_that_look_elsewhere_than_the_running_stack_are_refused(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, "default")
    settings.instance_dir.mkdir()
    settings.stack_env_path.write_text(env_text(ports.endpoints(settings)), encoding="utf-8")
    check_same_ports(settings_of(tmp_path, "default", UI_PORT="3999"))
    with pytest.raises(StackError, match="KAFKA_PORT=9092, the settings say 9999"):
        check_same_ports(settings_of(tmp_path, "default", KAFKA_PORT="9999", BROKER_URL="127.0.0.1:9092"))


def test_the_port_of_a_process_that_is_just_ending_becomes_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    owners = [PortOwner(None, None), PortOwner(None, None), None]
    monkeypatch.setattr(ports, "listener_of", lambda port: owners.pop(0))
    ports.check_free(Settings(state_dir=tmp_path), ["kafka_port"])
    assert owners == []


def test_a_port_that_stays_with_an_unknown_process_is_busy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "_ENDING_S", 0.0)
    monkeypatch.setattr(ports, "listener_of", lambda port: PortOwner(None, None))
    with pytest.raises(PortInUseError, match="a process of another user"):
        ports.check_free(Settings(state_dir=tmp_path), ["kafka_port"])
