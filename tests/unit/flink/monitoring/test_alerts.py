"""Alerts go out once in a quarter of an hour, to everybody who can take them, and without secrets."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from orchestration.flink.monitoring.alerts import Alert, Alerts, due
from orchestration.redaction import MASK

NOON = datetime(2024, 1, 5, 12, 0, tzinfo=UTC)
HOOK = "https://chat.example/hooks/T0/B0/very-hidden"


def alert(query: str = "revenue", code: str = "job_failed", text: str = "the job failed") -> Alert:
    return Alert(query, code, text, NOON, "a" * 32, "http://flink/#/job/running/aaaa/overview")


class Clock:
    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        return self.now


def test_the_same_trouble_is_told_again_after_a_quarter_of_an_hour_only() -> None:
    clock, got = Clock(), list[Alert]()
    alerts = Alerts(callbacks=[got.append], clock=clock)
    for minutes, sent in ((0, 1), (14, 0), (15, 1), (16, 0)):
        clock.now = NOON + timedelta(minutes=minutes)
        assert len(alerts.send([alert()])) == sent, minutes
    assert got == [alert(), alert()]


def test_another_code_or_another_query_is_another_trouble() -> None:
    alerts = Alerts(clock=Clock())
    assert len(alerts.send([alert(), alert(code="job_lost"), alert(query="orders"), alert()])) == 3


def test_what_another_process_told_is_not_told_again() -> None:
    fresh, told = due([alert(), alert(code="job_lost")], {"revenue:job_failed": NOON - timedelta(minutes=1)}, NOON)
    assert [one.code for one in fresh] == ["job_lost"]
    assert told == {"revenue:job_failed": NOON - timedelta(minutes=1), "revenue:job_lost": NOON}
    assert due([], told, NOON + timedelta(minutes=20)) == ([], {})


def webhook(requests: list[httpx.Request], *statuses: int) -> httpx.MockTransport:
    left = list(statuses)

    def answer(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        status = left.pop(0)
        if not status:
            raise httpx.ConnectError(f"no way to {request.url}")
        return httpx.Response(status)

    return httpx.MockTransport(answer)


def test_the_webhook_gets_one_json_document_an_alert() -> None:
    requests: list[httpx.Request] = []
    Alerts(webhook=HOOK, transport=webhook(requests, 200), clock=Clock()).send([alert()])
    assert [str(request.url) for request in requests] == [HOOK]
    assert json.loads(requests[0].content) == {
        "text": "Millrace: revenue: the job failed",
        "query": "revenue",
        "code": "job_failed",
        "at": "2024-01-05T12:00:00+00:00",
        "job_id": "a" * 32,
        "url": "http://flink/#/job/running/aaaa/overview",
    }


def test_a_receiver_that_fails_keeps_nobody_from_the_rest_and_its_address_stays_hidden(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def broken(_: Alert) -> None:
        raise RuntimeError(f"cannot reach password=hunter22 {HOOK}")

    got, requests = list[Alert](), list[httpx.Request]()
    transport = webhook(requests, 500, 0, 200)
    alerts = Alerts(callbacks=[broken, got.append], webhook=HOOK, transport=transport, clock=Clock())
    with caplog.at_level(logging.WARNING, "orchestration.flink.monitoring.alerts"):
        sent = alerts.send([alert(), alert(code="job_lost"), alert(code="restarts")])
    assert sent == got
    assert len(requests) == len(sent) == 3
    said = [record.getMessage() for record in caplog.records]
    assert "the webhook answered HTTP 500 to revenue:job_failed" in said
    assert "the webhook did not take revenue:job_lost: ConnectError" in said
    assert "hunter22" not in caplog.text
    assert "very-hidden" not in "".join(text for text in said if "webhook" in text)


def test_no_secret_gets_into_an_alert() -> None:
    made = Alert("q", "job_failed", "sasl.jaas.config='a secret'", NOON, url="http://admin:hunter22@flink/#/job")
    assert made.text == f"sasl.jaas.config={MASK}"
    assert made.url == f"http://{MASK}@flink/#/job"
