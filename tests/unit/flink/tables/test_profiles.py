from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestration.errors import ConfigError, StatementError
from orchestration.flink.tables.profiles import load_profiles
from orchestration.flink.text.references import (
    check_value,
    is_reference,
    mask_secrets,
    needs_reference,
    resolve_ddl,
    resolve_reference,
)
from orchestration.redaction import redact
from orchestration.settings import Settings


def profiles_file(folder: Path, text: str) -> Path:
    path = folder / "connectors.yml"
    path.write_text(f"version: 1\nprofiles:\n{text}", encoding="utf-8")
    return path


def test_the_committed_profiles_are_right_and_resolve_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SQL_SINK_JDBC_PASSWORD", raising=False)
    profiles = load_profiles(Settings().connector_profiles_path)
    assert {name: profile.connector for name, profile in profiles.profiles.items()} == {
        name: name for name in ("kafka", "upsert-kafka", "filesystem", "iceberg", "jdbc", "print", "blackhole")
    }
    assert profiles.get("jdbc").options["password"] == "env:SQL_SINK_JDBC_PASSWORD"
    assert profiles.get("jdbc").options["sink.buffer-flush.max-rows"] == "500"


def test_an_unknown_profile_is_named_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="no connector profile 'kafk'") as caught:
        load_profiles(Settings().connector_profiles_path).get("kafk")
    assert str(caught.value.hint).startswith("profiles: auto, kafka")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("  a: {connector: kafak}", "there is no connector 'kafak'", id="connector"),
        pytest.param("  a: {connector: kafka, optoins: {}}", "profiles.a.optoins: Extra inputs", id="field"),
        pytest.param("  a: {connector: kafka, options: {topics: x}}", "has no option 'topics'", id="option"),
        pytest.param("  auto: {connector: kafka}", "no profile can be called 'auto'", id="auto"),
        pytest.param("  a: {connector: kafka, root: /x}", "root is for connector filesystem only", id="root"),
        pytest.param("  a: {connector: filesystem, options: {path: /x}}", "give root instead", id="path"),
        pytest.param("  a: {connector: iceberg, namespace: a.b}", "namespace 'a.b' is not a plain", id="namespace"),
        pytest.param("  a: {connector: jdbc, options: {password: hunter2}}", "holds a secret in clear", id="secret"),
        pytest.param('  a: {connector: jdbc, options: {username: "a\\nb"}}', "holds a newline", id="newline"),
        pytest.param("  a: [", "is not YAML", id="yaml"),
    ],
)
def test_a_wrong_profile_says_what_is_wrong(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_profiles(profiles_file(tmp_path, text))
    assert message in caught.value.message
    assert "hunter2" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nothing\.yml cannot be read"):
        load_profiles(tmp_path / "nothing.yml")


@pytest.mark.parametrize(
    ("value", "expected"),
    [("env:A_1", True), ("file:/run/secrets/x", True), ("file:///data", False), ("env:a b", False), ("x", False)],
)
def test_a_reference_names_a_variable_or_a_file(value: str, expected: bool) -> None:
    assert is_reference(value) is expected


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        ("password", True),
        ("properties.sasl.jaas.config", True),
        ("properties.ssl.key.password", True),
        ("properties.sasl.mechanism", False),
        ("properties.sasl.login.callback.handler.class", False),
        ("key.format", False),
        ("topic", False),
    ],
)
def test_options_that_hold_a_secret_are_told_by_their_name(option: str, expected: bool) -> None:
    assert needs_reference(option) is expected


def test_a_reference_is_resolved_and_remembered_for_redaction(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("sesame-open-41\n", encoding="utf-8")
    assert resolve_reference("env:PW", {"PW": "tulip-garden-7"}) == "tulip-garden-7"
    assert resolve_reference(f"file:{secret}") == "sesame-open-41"
    assert redact("it was tulip-garden-7 or sesame-open-41") == "it was ****** or ******"


@pytest.mark.parametrize(
    ("value", "message"),
    [("", "env:PW is empty or not set"), ("line-one\nline-two", "the value of env:PW holds a newline")],
)
def test_a_value_that_cannot_be_sent_is_refused_without_showing_it(value: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        resolve_reference("env:PW", {"PW": value})
    assert "line-one" not in str(caught.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: FileNotFoundError"):
        resolve_reference(f"file:{tmp_path}/nothing")


def test_only_values_of_options_are_resolved() -> None:
    ddl = (
        "CREATE TABLE t (a STRING COMMENT 'env:PW') WITH ('password' /* env:PW */ = 'env:PW', 'url' = 'file:///x', "
        "'note' = 'it''s')"
    )
    assert resolve_ddl(ddl, {"PW": "o'neil-the-2nd"}) == (
        "CREATE TABLE t (a STRING COMMENT 'env:PW') WITH ('password' /* env:PW */ = 'o''neil-the-2nd', "
        "'url' = 'file:///x', 'note' = 'it''s')"
    )


def test_a_statement_is_stored_without_secrets_and_can_be_sent_again() -> None:
    ddl = (
        "CREATE TABLE t (a STRING COMMENT 'password=tulip') WITH ("
        "'password' = 'env:PW', 'username' = 'file:/run/user', 'properties.sasl.mechanism' = 'PLAIN', "
        "'url' = 'jdbc:x://u:tulip@h/db', 'properties.ssl.key.password' = 'tulip', 'topic' = 'it''s')"
    )
    stored = mask_secrets(ddl)
    assert "tulip" not in stored
    assert "'password' = 'env:PW', 'username' = 'file:/run/user', 'properties.sasl.mechanism' = 'PLAIN'" in stored
    assert "'properties.ssl.key.password' = '******', 'topic' = 'it''s')" in stored
    assert mask_secrets(stored) == stored


@given(st.text(alphabet="'=ab`()- \n", max_size=60))
def test_a_statement_without_secrets_is_stored_as_it_is(text: str) -> None:
    with suppress(StatementError, ConfigError):
        assert mask_secrets(text) == text


def test_a_newline_in_an_option_is_refused() -> None:
    with pytest.raises(ConfigError, match="here: option a holds a newline"):
        check_value("a", "b\nc", "here")
