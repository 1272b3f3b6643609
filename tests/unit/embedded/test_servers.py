"""Configuration that is rendered for the servers, and supervisord's."""

from __future__ import annotations

import stat
from configparser import RawConfigParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml

from orchestration.embedded import flink_cluster
from orchestration.embedded.catalog_server import catalog_properties, catalog_server
from orchestration.embedded.flink_cluster import cluster_config, config_yaml
from orchestration.embedded.flink_memory import JobManagerMemory, TaskManagerMemory
from orchestration.embedded.kafka import kafka_server, server_properties
from orchestration.embedded.plan import check_disk, check_is_embedded, make_folders
from orchestration.embedded.server import Server, argument_file, properties
from orchestration.embedded.supervisor import config_text, socket_path
from orchestration.errors import ConfigError, StackError
from orchestration.settings import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(state_dir=tmp_path, kafka_port=19092)


@pytest.mark.parametrize("process_mb", [1536, 1728, 2560, 4096, 16384])
def test_the_parts_of_a_taskmanager_are_its_size(process_mb: int) -> None:
    parts = TaskManagerMemory.split(process_mb)
    assert sum(vars(parts).values()) == process_mb
    assert min(vars(parts).values()) > 0
    assert parts.task_heap_mb >= 128


def test_a_taskmanager_gets_every_key_that_it_insists_on() -> None:
    keys = TaskManagerMemory.split(2560).keys()
    assert keys["taskmanager.memory.network.min"] == keys["taskmanager.memory.network.max"]
    assert {key.rsplit(".", 1)[0] for key in keys} >= {
        "taskmanager.memory.task.heap",
        "taskmanager.memory.task.off-heap",
        "taskmanager.memory.managed",
        "taskmanager.memory.framework.heap",
    }


def test_the_parts_of_a_jobmanager_are_its_size() -> None:
    assert sum(vars(JobManagerMemory.split(1024)).values()) == 1024


def test_every_listener_of_the_broker_is_on_loopback(settings: Settings) -> None:
    found = server_properties(settings, 29093)
    assert found["listeners"] == "PLAINTEXT://127.0.0.1:19092,CONTROLLER://127.0.0.1:29093"
    assert found["advertised.listeners"] == "PLAINTEXT://127.0.0.1:19092"


def test_arrival_time_is_the_brokers_and_topics_are_not_made_by_accident(settings: Settings) -> None:
    found = server_properties(settings, 29093)
    assert found["log.message.timestamp.type"] == "LogAppendTime"
    assert found["auto.create.topics.enable"] == "false"


def test_every_address_of_flink_is_loopback(settings: Settings) -> None:
    found = cluster_config(settings, 26123)
    hosts = {key: value for key, value in found.items() if key.endswith(("address", "host", "bind-host"))}
    assert len(hosts) == 8
    assert set(hosts.values()) == {"127.0.0.1"}


def test_checkpoints_outlive_their_job(settings: Settings) -> None:
    found = cluster_config(settings, 26123)
    assert found["execution.checkpointing.externalized-checkpoint-retention"] == "RETAIN_ON_CANCELLATION"
    assert str(found["execution.checkpointing.dir"]).startswith("file:///")
    assert found["execution.checkpointing.interval"] == "10000 ms"


def test_flink_config_is_yaml_with_the_values_kept(settings: Settings) -> None:
    options = cluster_config(settings, 26123)
    assert yaml.safe_load(config_yaml(options)) == options


def test_the_catalog_is_told_its_warehouse_without_a_trailing_slash(settings: Settings) -> None:
    found = catalog_properties(settings)
    assert found["warehouse"] == settings.warehouse.rstrip("/")
    assert found["io-impl"] == "org.apache.iceberg.hadoop.HadoopFileIO"
    assert "busy_timeout=" in found["uri"]
    assert "journal_mode=WAL" in found["uri"]


S3: dict[str, Any] = {
    "storage": "s3",
    "warehouse": "s3://lake/wh/",
    "s3_endpoint": "http://127.0.0.1:9000",
    "aws_region": "eu-west-1",
    "aws_access_key_id": "planted-key-id",
    "aws_secret_access_key": "planted-secret",
    "aws_session_token": "planted-token",
}


def test_the_servers_of_a_lake_on_s3_take_keys_from_their_environment_alone(tmp_path: Path) -> None:
    settings = Settings(state_dir=tmp_path, **S3)
    environment = flink_cluster.environment(settings)
    assert {name: value for name, value in environment.items() if name.startswith("AWS_")} == {
        "AWS_REGION": "eu-west-1",
        "AWS_ACCESS_KEY_ID": "planted-key-id",
        "AWS_SECRET_ACCESS_KEY": "planted-secret",
        "AWS_SESSION_TOKEN": "planted-token",
    }
    servers = (
        catalog_server(settings, []),
        *flink_cluster.flink_servers(settings, [], 1),
        kafka_server(settings, [], 1),
    )
    for server in servers:
        assert "planted" not in " ".join((server.command(tmp_path), *server.java_args, *server.files.values()))


def test_the_catalog_writes_its_metadata_where_the_tables_are(tmp_path: Path) -> None:
    settings = Settings(state_dir=tmp_path, **S3)
    found = catalog_properties(settings)
    assert {name: value for name, value in found.items() if name != "uri" and not name.startswith("jdbc")} == {
        "catalog-impl": "org.apache.iceberg.jdbc.JdbcCatalog",
        "warehouse": "s3://lake/wh",
        "clients": "2",
        "io-impl": "org.apache.iceberg.aws.s3.S3FileIO",
        "client.region": "eu-west-1",
        "s3.endpoint": "http://127.0.0.1:9000",
        "s3.path-style-access": "true",
    }


def test_jetty_binds_the_catalog_to_loopback(settings: Settings) -> None:
    tree = ElementTree.parse(settings.platform_dir / "catalog" / "server.xml")
    assert [item.text for item in tree.iter("Set") if item.get("name") == "host"] == ["127.0.0.1"]


def test_no_server_writes_to_the_systems_temporary_folder(settings: Settings) -> None:
    for server in (kafka_server(settings, [], 1), catalog_server(settings, [])):
        assert f"-Djava.io.tmpdir={settings.instance_dir / 'run' / 'tmp'}" in server.java_args
        assert "-XX:-UsePerfData" in server.java_args


def test_an_argument_file_keeps_blanks_quotes_and_backslashes() -> None:
    assert argument_file(['a b"c\\d', "e"]) == '"a b\\"c\\\\d"\n"e"\n'


def test_properties_escape_backslashes() -> None:
    assert properties({"a": "x\\y", "b": 1}) == "a=x\\\\y\nb=1\n"


def test_supervisord_restarts_servers_and_survives_percent_and_blanks_in_paths() -> None:
    folder = Path("/tmp/a b%c")
    parser = RawConfigParser(inline_comment_prefixes=None)
    parser.read_string(config_text(folder, [Server("kafka", "Kafka", ("-version",))]))
    program = parser["program:kafka"]
    assert program["autorestart"] == "true"
    assert program["autostart"] == "false"
    assert "'-Dmillrace.instance=/tmp/a b%%c'" in program["command"]
    assert program["stdout_logfile_maxbytes"] == "20MB"


def test_a_control_socket_fits_into_the_systems_limit(tmp_path: Path) -> None:
    assert socket_path(Path("/srv/x")) == Path("/srv/x/run/supervisor.sock")
    deep = Path("/srv", *["folder-with-a-long-name"] * 6)
    assert len(str(socket_path(deep))) < 100
    assert socket_path(deep) != socket_path(deep / "other")


def test_a_nearly_full_disk_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(StackError, match="only 900 MiB are free"):
        check_disk(tmp_path / "not" / "there", free_bytes=lambda path: 900 << 20)
    check_disk(tmp_path, free_bytes=lambda path: 1 << 30)


def test_up_refuses_settings_with_services_elsewhere(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="BROKER=redpanda"):
        check_is_embedded(Settings(state_dir=tmp_path, broker="redpanda"))


def test_an_environment_of_platform_yaml_has_services_of_its_own(tmp_path: Path) -> None:
    check_is_embedded(Settings(state_dir=tmp_path, platform_env="local"))
    with pytest.raises(ConfigError, match=r"the environment prod of platform\.yaml has services of its own"):
        check_is_embedded(Settings(state_dir=tmp_path, platform_env="prod"))


def test_what_servers_keep_while_they_run_is_closed_to_others(tmp_path: Path) -> None:
    make_folders(tmp_path)
    assert stat.S_IMODE((tmp_path / "run").stat().st_mode) == 0o700


def test_up_refuses_a_catalog_on_another_machine(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"CATALOG_URI=https://catalog\.example\.com is on another machine"):
        check_is_embedded(Settings(**S3, state_dir=tmp_path, catalog_uri="https://catalog.example.com"))
    check_is_embedded(Settings(**S3, state_dir=tmp_path, catalog_uri="http://localhost:8181"))


def test_flinks_own_jars_are_all_there() -> None:
    names = [path.name for path in flink_cluster.flink_library_jars()]
    assert any(name.startswith("flink-dist-") for name in names)
    assert not any("scala" in name or "python" in name for name in names)
