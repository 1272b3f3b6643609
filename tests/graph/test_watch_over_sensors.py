"""The sensor that tells of silent ones, mails about failed runs, and freshness policies."""

from __future__ import annotations

import smtplib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from typing import Any

import dagster as dg
import pytest

from orchestration.contracts import DatasetContract
from orchestration.defs.assets import build_assets
from orchestration.defs.emails import failed_run_email
from orchestration.defs.freshness import with_freshness
from orchestration.defs.heartbeats import find_silent, read_told, sensor_heartbeats
from orchestration.defs.resources import KEY, MillraceSettings
from orchestration.defs.stream_sensors import HEALS
from orchestration.lakehouse.heartbeat import Heartbeat, beat, read_heartbeats
from orchestration.settings import Settings
from tests.graph.conftest import PROJECT

NOW = datetime.now(UTC)


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test() as made:
        yield made


@pytest.fixture
def loaded(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings with a mail server, as every resource loads them."""
    own = settings.with_changes(
        smtp_host="mail.example",
        smtp_user="bot",
        smtp_password="hush",
        alert_email_to="ann@example.org, bob@example.org",
    )
    monkeypatch.setattr("orchestration.defs.resources.load_settings", lambda *_: own)
    return own


# --- heartbeats -------------------------------------------------------------------------------------------------------


def test_a_silent_sensor_is_told_once(
    loaded: Settings, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr("orchestration.defs.heartbeats.send", lambda *args: told.extend(a.key for a in args[-1]))
    beat(loaded, "stream_health", 15, NOW - timedelta(hours=1))
    beat(loaded, "query_health", 60)
    cursor = None
    for _ in range(2):
        context = dg.build_sensor_context(cursor=cursor, resources={KEY: MillraceSettings()}, instance=instance)
        result = sensor_heartbeats(context)
        assert isinstance(result, dg.SensorResult)
        assert result.skip_reason is not None
        assert result.skip_reason.skip_message == "silent: stream_health"
        cursor = result.cursor
    assert told == ["stream_health:sensor_silent"]
    assert "sensor_heartbeats" in [one.name for one in read_heartbeats(loaded)]


def test_a_sensor_that_was_turned_off_is_not_missed() -> None:
    old = [Heartbeat(name, NOW - timedelta(days=1), 15) for name in ("stream_health", "sensor_heartbeats", "other")]
    assert [one.name for one in find_silent(old, {"other"}, NOW)] == ["stream_health"]


@pytest.mark.parametrize("cursor", [None, "", "{", "[]", '{"a": 3}'])
def test_a_cursor_of_another_version_counts_as_none(cursor: str | None) -> None:
    assert read_told(cursor) == {}


# --- e-mail -----------------------------------------------------------------------------------------------------------


class Server:
    """A mail server that writes down what it was told."""

    said: list[Any] = []

    def __init__(self, host: str, port: int, timeout: float) -> None:
        self.said.append((host, port))
        assert timeout > 0

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def starttls(self, context: object) -> None:
        assert context is not None
        self.said.append("tls")

    def login(self, user: str, password: str) -> None:
        self.said.append((user, password))

    def send_message(self, mail: EmailMessage) -> None:
        self.said.append(mail)


@dg.op
def break_down() -> None:
    raise dg.Failure("broker at kafka://user:hush@broker does not answer")


@dg.job
def doomed() -> None:
    break_down()


def mail_about(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch, tags: dict[str, str] | None = None
) -> list[Any]:
    """Let a run fail and the sensor see it; returns what the mail server was told."""
    monkeypatch.setattr(Server, "said", [])
    monkeypatch.setattr(smtplib, "SMTP", Server)
    result = doomed.execute_in_process(instance=instance, raise_on_error=False, tags=tags)
    [failure] = [event for event in result.all_events if event.is_run_failure]
    context = dg.build_run_status_sensor_context(
        sensor_name="failed_run_email",
        dagster_instance=instance,
        dagster_run=result.dagster_run,
        dagster_event=failure,
        resources={KEY: MillraceSettings()},
    ).for_run_failure()
    failed_run_email(context)
    return Server.said


def test_a_failed_run_is_mailed_without_secrets(
    loaded: Settings, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    del loaded
    address, tls, login, mail = mail_about(instance, monkeypatch)
    assert (address, tls, login) == (("mail.example", 587), "tls", ("bot", "hush"))
    assert (mail["Subject"], mail["From"]) == ("Millrace: doomed failed", "ann@example.org")
    assert mail["To"] == "ann@example.org, bob@example.org"
    assert "break_down: broker at" in mail.get_content()
    assert "hush" not in mail.get_content()


def test_a_single_try_to_heal_a_stream_is_not_mailed(
    loaded: Settings, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    del loaded
    assert mail_about(instance, monkeypatch, {HEALS: "rides_stream"}) == []


def test_without_a_mail_server_nothing_is_sent(
    loaded: Settings, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = loaded.with_changes(smtp_host=None, alert_email_to=None)
    monkeypatch.setattr("orchestration.defs.resources.load_settings", lambda *_: own)
    assert mail_about(instance, monkeypatch) == []


# --- freshness --------------------------------------------------------------------------------------------------------


def test_layers_have_the_freshness_of_the_contract(contract: DatasetContract) -> None:
    changed = contract.model_copy(
        update={"freshness": contract.freshness.model_copy(update={"silver_h": 2, "marts_h": 3})}
    )
    assets = with_freshness(build_assets([changed], PROJECT), [changed])
    windows = {
        spec.key.to_user_string(): spec.freshness_policy.fail_window.to_timedelta() / timedelta(hours=1)  # type: ignore[union-attr]
        for asset in assets
        for spec in asset.specs
        if spec.freshness_policy is not None
    }
    assert windows == {"bronze/raw_rides": 24, "silver/rides": 2, "marts/fct_rides": 3}


def test_freshness_changes_nothing_that_silver_holds(contract: DatasetContract) -> None:
    changed = contract.model_copy(update={"freshness": contract.freshness.model_copy(update={"silver_h": 2})})
    assert changed.fingerprint() == contract.fingerprint()
