"""True readiness of each server: a question of the kind its clients ask, answered."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import httpx

from orchestration.settings import Settings


def _get(url: str) -> tuple[dict[str, Any] | None, object]:
    """Return (answer, what was seen); a proxy from the environment is not asked for our own loopback addresses."""
    try:
        with httpx.Client(timeout=3.0, trust_env=False) as client:
            response = client.get(url)
    except httpx.HTTPError as error:
        return None, f"{url}: {type(error).__name__}"
    if response.status_code != 200:
        return None, f"{url}: HTTP {response.status_code}"
    return response.json(), "answered"


def catalog_ready(settings: Settings) -> tuple[bool | None, object]:
    """GET /v1/config answers."""
    answer, seen = _get(f"{settings.catalog_uri}/v1/config?warehouse={settings.catalog_warehouse}")
    return (True if answer is not None else None), seen


def jobmanager_ready(settings: Settings) -> tuple[bool | None, object]:
    """GET /overview answers."""
    answer, seen = _get(f"{settings.flink_rest_url}/overview")
    return (True if answer is not None else None), seen


def taskmanager_ready(settings: Settings) -> tuple[bool | None, object]:
    """GET /taskmanagers names one with slots, and that one listens.

    The JobManager counts a TaskManager that was killed for some seconds more.
    """
    answer, seen = _get(f"{settings.flink_rest_url}/taskmanagers")
    if answer is None:
        return None, seen
    registered = [one for one in answer.get("taskmanagers", []) if one.get("slotsNumber")]
    alive = [one for one in registered if _listens("127.0.0.1", int(one.get("dataPort", 0)))]
    return (True if alive else None), f"{len(registered)} TaskManagers registered, {len(alive)} of them alive"


def _listens(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=1.0).close()
    except OSError:
        return False
    return True


def gateway_ready(settings: Settings) -> tuple[bool | None, object]:
    """POST /v1/sessions opens a session, which is closed again."""
    try:
        with httpx.Client(base_url=settings.flink_sql_gateway_url, timeout=20.0, trust_env=False) as client:
            response = client.post("/v1/sessions", json={})
            if response.status_code != 200:
                return None, f"POST /v1/sessions: HTTP {response.status_code}"
            client.delete(f"/v1/sessions/{response.json()['sessionHandle']}")
    except httpx.HTTPError as error:
        return None, f"{settings.flink_sql_gateway_url}: {type(error).__name__}"
    return True, "session opened"


def kafka_ready(settings: Settings) -> tuple[bool | None, object]:
    """A metadata request names a broker."""
    host, _, port = settings.broker_url.partition(":")
    try:
        # librdkafka would log every refused connection.
        socket.create_connection((host, int(port)), timeout=1.0).close()
    except OSError as error:
        return None, f"{settings.broker_url}: {error.strerror or type(error).__name__}"
    from confluent_kafka import KafkaException
    from confluent_kafka.admin import AdminClient

    client = AdminClient({"bootstrap.servers": settings.broker_url, "socket.timeout.ms": 3000, "log_level": 0})
    try:
        brokers = client.list_topics(timeout=3.0).brokers
    except KafkaException as error:
        return None, f"metadata request: {error.args[0].str()}"
    return (True if brokers else None), f"{len(brokers)} brokers"


LOOKS: dict[str, Callable[[Settings], tuple[bool | None, object]]] = {
    "kafka": kafka_ready,
    "catalog": catalog_ready,
    "jobmanager": jobmanager_ready,
    "taskmanager": taskmanager_ready,
    "gateway": gateway_ready,
}
