"""One mapping from settings to the security options of Kafka's clients: librdkafka, and Flink's connector (Java).

Names are those of librdkafka's CONFIGURATION.md and of Kafka's documentation ("Consumer configs", "Security").
"""

from __future__ import annotations

import os
from pathlib import Path

from orchestration.settings import Settings

_SHADED = "org.apache.flink.kafka.shaded.org.apache.kafka.common.security"
"""Where flink-sql-connector-kafka keeps Kafka's client."""
_LOGIN_MODULES = {"PLAIN": "plain.PlainLoginModule"}
_SCRAM = "scram.ScramLoginModule"


def librdkafka_security(settings: Settings) -> dict[str, str]:
    """Return the security options of confluent-kafka's clients; it holds the password. Empty: PLAINTEXT."""
    protocol = settings.broker_security_protocol
    if protocol == "PLAINTEXT":
        return {}
    options = {"security.protocol": protocol.lower()}
    if (login := _login(settings)) is not None:
        user, password = login
        options["sasl.mechanisms"] = settings.broker_login_mechanism
        options |= {"sasl.username": user, "sasl.password": password}
    if settings.broker_ca_file is not None:
        options["ssl.ca.location"] = str(settings.broker_ca_file)
    if settings.broker_certificate_file is not None:
        # Chain and key are looked for in the same file, as Java does.
        both = str(settings.broker_certificate_file)
        options |= {"ssl.certificate.location": both, "ssl.key.location": both}
    return options


def flink_broker_options(settings: Settings, *, is_stored: bool = False) -> dict[str, str]:
    """Return the broker's address and security as `properties.*` of Flink's Kafka connector.

    Args:
        is_stored: the statement is kept in a definition: in place of the login stands a reference to `login_file`,
            which is resolved when the statement is sent. Else the options hold the password.
    """
    options = {"bootstrap.servers": settings.broker_url, **_java_security(settings)}
    if is_stored and "sasl.jaas.config" in options:
        options["sasl.jaas.config"] = f"file:{login_file(settings)}"
    return {f"properties.{name}": value for name, value in options.items()}


def login_file(settings: Settings) -> Path:
    """Return the file that holds the login as Java wants it, readable by its owner only; `write_login` writes it."""
    return settings.instance_dir / "run" / "broker.jaas"


def write_login(settings: Settings) -> None:
    """Write the login file, whole or not at all; without a login remove it. Idempotent."""
    path, jaas = login_file(settings), _java_security(settings).get("sasl.jaas.config")
    if jaas is None:
        path.unlink(missing_ok=True)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    temporary.touch(mode=0o600)
    temporary.write_text(f"{jaas}\n", encoding="utf-8")
    temporary.replace(path)


def _java_security(settings: Settings) -> dict[str, str]:
    protocol = settings.broker_security_protocol
    if protocol == "PLAINTEXT":
        return {}
    options: dict[str, str] = {"security.protocol": protocol}
    if (login := _login(settings)) is not None:
        user, password = login
        module = _LOGIN_MODULES.get(settings.broker_login_mechanism, _SCRAM)
        options |= {
            "sasl.mechanism": settings.broker_login_mechanism,
            "sasl.jaas.config": f"{_SHADED}.{module} required username={_quote(user)} password={_quote(password)};",
        }
    for store, file in (("truststore", settings.broker_ca_file), ("keystore", settings.broker_certificate_file)):
        if file is not None:
            options |= {f"ssl.{store}.type": "PEM", f"ssl.{store}.location": str(file)}
    return options


def _login(settings: Settings) -> tuple[str, str] | None:
    if not settings.broker_security_protocol.startswith("SASL"):
        return None
    settings = settings.with_secrets()
    user, password = settings.broker_username, settings.broker_password
    return (user, password.get_secret_value()) if user and password else None


def _quote(value: str) -> str:
    """Return a value of a JAAS entry: it is read by java.io.StreamTokenizer, where a backslash escapes."""
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
