"""Whole option sets are compared: of librdkafka, and of Flink's connector."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient

from orchestration.broker.client import client_config
from orchestration.broker_security import flink_broker_options, librdkafka_security, login_file, write_login
from orchestration.contracts import load_contract
from orchestration.embedded.plan import check_is_embedded
from orchestration.errors import ConfigError
from orchestration.flink.tables.directory import create_topic_table
from orchestration.flink.text.render import write_rendered
from orchestration.lakehouse.streams.definition import stream_spec
from orchestration.settings import Settings

PLANTED = 'Zq7"Xw\\9Vk'
LOGIN: dict[str, Any] = {"broker_username": "lake", "broker_password": PLANTED}
SCRAM: dict[str, Any] = {"broker_security_protocol": "SASL_SSL", "broker_login_mechanism": "SCRAM-SHA-512", **LOGIN}
PLAIN: dict[str, Any] = {"broker_security_protocol": "SASL_PLAINTEXT", **LOGIN}
TLS: dict[str, Any] = {
    "broker_security_protocol": "SSL",
    "broker_ca_file": "/pki/ca.pem",
    "broker_certificate_file": "/pki/client.pem",
}
SHADED = "org.apache.flink.kafka.shaded.org.apache.kafka.common.security"
ADDRESS = {"properties.bootstrap.servers": "127.0.0.1:9092"}
MODES: dict[str, tuple[dict[str, Any], dict[str, str], dict[str, str]]] = {
    "none": ({}, {}, ADDRESS),
    "login in clear": (
        PLAIN,
        {
            "security.protocol": "sasl_plaintext",
            "sasl.mechanisms": "PLAIN",
            "sasl.username": "lake",
            "sasl.password": PLANTED,
        },
        {
            **ADDRESS,
            "properties.security.protocol": "SASL_PLAINTEXT",
            "properties.sasl.mechanism": "PLAIN",
            "properties.sasl.jaas.config": f"{SHADED}.plain.PlainLoginModule required "
            r'username="lake" password="Zq7\"Xw\\9Vk";',
        },
    ),
    "scram over tls": (
        {**SCRAM, "broker_ca_file": "/pki/ca.pem"},
        {
            "security.protocol": "sasl_ssl",
            "sasl.mechanisms": "SCRAM-SHA-512",
            "sasl.username": "lake",
            "sasl.password": PLANTED,
            "ssl.ca.location": "/pki/ca.pem",
        },
        {
            **ADDRESS,
            "properties.security.protocol": "SASL_SSL",
            "properties.sasl.mechanism": "SCRAM-SHA-512",
            "properties.sasl.jaas.config": f"{SHADED}.scram.ScramLoginModule required "
            r'username="lake" password="Zq7\"Xw\\9Vk";',
            "properties.ssl.truststore.type": "PEM",
            "properties.ssl.truststore.location": "/pki/ca.pem",
        },
    ),
    "mutual tls": (
        TLS,
        {
            "security.protocol": "ssl",
            "ssl.ca.location": "/pki/ca.pem",
            "ssl.certificate.location": "/pki/client.pem",
            "ssl.key.location": "/pki/client.pem",
        },
        {
            **ADDRESS,
            "properties.security.protocol": "SSL",
            "properties.ssl.truststore.type": "PEM",
            "properties.ssl.truststore.location": "/pki/ca.pem",
            "properties.ssl.keystore.type": "PEM",
            "properties.ssl.keystore.location": "/pki/client.pem",
        },
    ),
    "tls with the system's certificates": (
        {"broker_security_protocol": "SSL"},
        {"security.protocol": "ssl"},
        {**ADDRESS, "properties.security.protocol": "SSL"},
    ),
}


@pytest.mark.parametrize(("values", "python", "flink"), MODES.values(), ids=MODES)
def test_both_clients_get_exactly_these_options(
    values: dict[str, Any], python: dict[str, str], flink: dict[str, str]
) -> None:
    settings = Settings(**values)
    assert librdkafka_security(settings) == python
    assert python.items() <= client_config(settings).items()
    assert flink_broker_options(settings) == flink


def test_librdkafka_knows_every_option() -> None:
    AdminClient(client_config(Settings(**PLAIN)))
    other: dict[str, Any] = {**SCRAM, "broker_login_mechanism": "SCRAM-SHA-256"}
    AdminClient(client_config(Settings(**other)))


@pytest.mark.parametrize("values", [PLAIN, SCRAM], ids=["plain", "scram"])
def test_a_stored_statement_names_the_file_of_the_login(values: dict[str, Any], tmp_path: Path) -> None:
    settings = Settings(**values, state_dir=tmp_path)
    shown, stored = flink_broker_options(settings), flink_broker_options(settings, is_stored=True)
    jaas = "properties.sasl.jaas.config"
    assert stored == {**shown, jaas: f"file:{login_file(settings)}"}
    write_login(settings)
    write_login(settings)
    assert login_file(settings).read_text() == f"{shown[jaas]}\n"
    assert stat.S_IMODE(login_file(settings).stat().st_mode) == 0o600
    write_login(Settings(state_dir=tmp_path))
    assert not login_file(settings).exists()


def test_no_definition_and_no_rendered_file_holds_the_password(tmp_path: Path) -> None:
    settings, contract = Settings(**PLAIN, state_dir=tmp_path), load_contract("taxi")
    write_login(settings)
    spec = stream_spec(settings, contract)
    assert f"file:{login_file(settings)}" in spec.inputs[0]
    table = create_topic_table("taxi_raw", contract, settings, "batch")
    options = "\n".join(f"'{key}' = '{value}'" for key, value in flink_broker_options(settings).items())
    rendered = write_rendered(tmp_path, "bronze", {"source": f"CREATE TABLE t (a INT) WITH ({options})"})
    for text in (spec.model_dump_json(), table, rendered.read_text(), repr(settings), str(settings.redacted_dump())):
        assert "Zq7" not in text


@pytest.mark.parametrize(
    ("values", "refusal"),
    [
        ({"broker_security_protocol": "SASL_SSL"}, "needs a login, and BROKER_USERNAME is not set"),
        ({**PLAIN, "broker_password": None}, "needs a login, and BROKER_PASSWORD is not set"),
        ({**PLAIN, "broker_ca_file": "/ca.pem"}, "BROKER_CA_FILE is set, and BROKER_SECURITY_PROTOCOL=SASL_PLAINTEXT"),
        ({**PLAIN, "broker_login_mechanism": "GSSAPI"}, "BROKER_LOGIN_MECHANISM='GSSAPI' is refused"),
    ],
    ids=["no user", "no password", "certificate unused", "mechanism"],
)
def test_settings_that_do_not_fit_together_are_refused(values: dict[str, Any], refusal: str) -> None:
    with pytest.raises(ConfigError) as error:
        Settings(**values)
    assert refusal in str(error.value)
    assert "Zq7" not in str(error.value)


def test_a_login_that_is_not_sent_is_warned_of() -> None:
    [warning] = [text for text in Settings(**LOGIN).warnings() if "sends no login" in text]
    assert "BROKER_SECURITY_PROTOCOL=PLAINTEXT" in warning
    assert PLANTED not in warning


def test_the_embedded_broker_asks_for_no_login(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"the embedded Kafka .* BROKER_SECURITY_PROTOCOL is SASL_PLAINTEXT"):
        check_is_embedded(Settings(**PLAIN, state_dir=tmp_path))
