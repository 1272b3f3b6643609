"""Settings of a broker that asks who one is, or encrypts. A part of `Settings`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings

SecurityProtocol = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
SaslMechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]


class BrokerSecuritySettings(BaseSettings):
    """How every client logs in to the broker: ours, and Flink's. Files are PEM, and at the same path for Flink."""

    broker_security_protocol: SecurityProtocol = "PLAINTEXT"
    broker_login_mechanism: SaslMechanism = "PLAIN"
    broker_username: str | None = Field(default=None, description="of SASL")
    broker_password: SecretStr | None = None
    broker_ca_file: Path | None = Field(default=None, description="certificates to trust; None: the system's")
    broker_certificate_file: Path | None = Field(
        default=None, description="of this client, chain and unencrypted PKCS #8 key in one file; None: none is shown"
    )
