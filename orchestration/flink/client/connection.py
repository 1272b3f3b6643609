"""How to speak HTTP to Flink's services: time limits, retries, certificates, the Authorization header."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from orchestration.errors import ConfigError
from orchestration.redaction import remember_secrets
from orchestration.settings import Settings


@dataclass(frozen=True)
class RetryPolicy:
    """How often and how long a safe call is repeated; delays double from 0.2 s and carry jitter."""

    attempts: int = 5
    total_s: float = 30.0
    first_s: float = 0.2
    most_s: float = 5.0


@dataclass(frozen=True)
class HttpOptions:
    """One service's connection.

    Args:
        verify: check the server's certificate.
        ca_file: certificates to trust; None means the system's.
        authorization: value of the Authorization header; None sends none.
        on_retry: called with the path of each request that is sent once more.
    """

    connect_timeout_s: float = 5.0
    read_timeout_s: float = 30.0
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    verify: bool = True
    ca_file: Path | None = None
    authorization: str | None = field(default=None, repr=False)
    on_retry: Callable[[str], None] | None = None

    def with_timeout(self, timeout_s: float | None) -> HttpOptions:
        """Return the same options with another limit for an answer; None changes nothing."""
        if timeout_s is None:
            return self
        return replace(self, read_timeout_s=timeout_s, connect_timeout_s=min(self.connect_timeout_s, timeout_s))

    @property
    def headers(self) -> dict[str, str]:
        """Headers of every request."""
        return {} if self.authorization is None else {"Authorization": self.authorization}

    def tls(self) -> ssl.SSLContext | bool:
        """Return what httpx calls `verify`.

        Raises:
            ConfigError: `ca_file` cannot be read or holds no certificate.
        """
        if not self.verify or self.ca_file is None:
            return self.verify
        try:
            return ssl.create_default_context(cafile=str(self.ca_file))
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(
                f"FLINK_CA_FILE={self.ca_file} cannot be used: {error}", hint="name a PEM file of certificates"
            ) from error


NORMAL_HTTP = HttpOptions()


def http_options(settings: Settings, *, on_retry: Callable[[str], None] | None = None) -> HttpOptions:
    """Return the options that the settings ask for; the header's file is read now.

    Raises:
        ConfigError: the file of the Authorization header cannot be read or holds no header value.
    """
    return HttpOptions(
        connect_timeout_s=settings.sql_engine_connect_timeout_s,
        read_timeout_s=settings.sql_engine_read_timeout_s,
        retry=RetryPolicy(attempts=settings.sql_engine_http_retries + 1),
        verify=settings.flink_tls_verify,
        ca_file=settings.flink_ca_file,
        authorization=_read_header(settings.flink_auth_header_file),
        on_retry=on_retry,
    )


def _read_header(path: Path | None) -> str | None:
    if path is None:
        return None
    try:
        value = path.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"FLINK_AUTH_HEADER_FILE={path} cannot be read: {error}") from error
    if not value or not value.isascii() or not value.isprintable():
        raise ConfigError(
            f"FLINK_AUTH_HEADER_FILE={path} does not hold one line of text",
            hint="write the header's value into it, such as: Bearer <token>",
        )
    # The scheme in front ("Bearer") is no secret; remembering both spellings hides the bare credential too.
    remember_secrets({value, value.rpartition(" ")[2]})
    return value
