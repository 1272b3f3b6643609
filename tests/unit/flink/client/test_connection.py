"""Certificates and the Authorization header: what is read, and what is told when it is wrong."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from orchestration.errors import ConfigError
from orchestration.flink.client.connection import HttpOptions, http_options
from orchestration.redaction import redact
from orchestration.settings import Settings


def test_the_settings_become_options() -> None:
    settings = Settings(sql_engine_connect_timeout_s=2, sql_engine_read_timeout_s=7, sql_engine_http_retries=0)
    options = http_options(settings)
    assert (options.connect_timeout_s, options.read_timeout_s, options.retry.attempts) == (2, 7, 1)
    assert (options.headers, options.tls()) == ({}, True)


def test_certificates_may_be_left_unchecked_or_come_from_a_file(tmp_path: Path) -> None:
    assert HttpOptions(verify=False).tls() is False
    trusted = Path(ssl.get_default_verify_paths().cafile or "/etc/ssl/certs/ca-certificates.crt")
    assert isinstance(HttpOptions(ca_file=trusted).tls(), ssl.SSLContext)


@pytest.mark.parametrize("text", [None, "no certificate"], ids=["missing", "no-certificate"])
def test_a_file_of_certificates_that_is_none_is_named(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "ca.pem"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigError, match=f"FLINK_CA_FILE={path} cannot be used"):
        HttpOptions(ca_file=path).tls()


def test_the_header_is_read_from_its_file_and_stays_secret(tmp_path: Path) -> None:
    path = tmp_path / "header"
    path.write_text("Basic dXNlcjpodW50ZXIy\n")
    options = http_options(Settings(flink_auth_header_file=path))
    assert options.headers == {"Authorization": "Basic dXNlcjpodW50ZXIy"}
    assert "dXNl" not in f"{options!r} {redact('it was dXNlcjpodW50ZXIy')}"


@pytest.mark.parametrize("text", [None, "", "two\nlines", "umläut"], ids=["missing", "empty", "two-lines", "not-ascii"])
def test_a_file_without_a_header_value_is_named(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "header"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigError, match=f"FLINK_AUTH_HEADER_FILE={path}"):
        http_options(Settings(flink_auth_header_file=path))
