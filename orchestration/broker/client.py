"""Clients of the broker, and its errors in our words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from orchestration.broker_security import librdkafka_security
from orchestration.errors import BrokerRefusedError, ProduceError, UnreachableError
from orchestration.settings import Settings

_UNREACHABLE = frozenset(
    {
        KafkaError._TRANSPORT,
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._RESOLVE,
        KafkaError._TIMED_OUT,
    }
)
_REFUSED = frozenset({KafkaError._AUTHENTICATION, KafkaError._SSL})
# A port nobody listens on or a name nobody knows will not get better by waiting; a booting broker will.
_HOPELESS = ("refused", "resolve")


def client_config(settings: Settings, **options: Any) -> dict[str, Any]:
    """Return the librdkafka configuration that all clients share, with `options` on top.

    librdkafka writes its log lines straight to stderr; they are silenced, because every error reaches us as an
    exception or through `error_cb`.
    """
    return {
        "bootstrap.servers": settings.broker_url,
        "client.id": "millrace",
        "log_level": 0,
        "socket.connection.setup.timeout.ms": int(settings.broker_timeout_s * 1000),
        **librdkafka_security(settings),
        **options,
    }


def unreachable(settings: Settings, reason: str) -> UnreachableError:
    """Return the error for a broker that does not answer; names its address and the remedy."""
    return UnreachableError(
        f"the Kafka broker at {settings.broker_url} does not answer: {reason}",
        hint="start the stack with `./millrace up`, or correct BROKER_URL",
        context={"broker": settings.broker_url},
    )


def refused(settings: Settings, reason: str, *, is_tls: bool) -> BrokerRefusedError:
    """Return the error for a broker that takes neither this login nor this certificate, or is not trusted."""
    where, protocol = f"the Kafka broker at {settings.broker_url}", settings.broker_security_protocol
    if is_tls:
        return BrokerRefusedError(
            f"no encrypted connection to {where[4:]}: {reason}",
            hint=f"BROKER_SECURITY_PROTOCOL is {protocol}; check BROKER_CA_FILE and BROKER_CERTIFICATE_FILE",
            context={"broker": settings.broker_url},
        )
    return BrokerRefusedError(
        f"{where} refused the login of {settings.broker_username}: {reason}",
        hint="check BROKER_USERNAME, BROKER_PASSWORD and BROKER_LOGIN_MECHANISM",
        context={"broker": settings.broker_url},
    )


@contextmanager
def broker_errors(settings: Settings, doing: str) -> Iterator[None]:
    """Map KafkaException to UnreachableError or ProduceError, with what was being done."""
    try:
        yield
    except KafkaException as exception:
        error = exception.args[0] if exception.args else None
        if isinstance(error, KafkaError):
            if error.code() in _UNREACHABLE:
                raise unreachable(settings, f"{error.str()} ({doing})") from exception
            raise ProduceError(f"the broker at {settings.broker_url} refused {doing}: {error.str()}") from exception
        raise ProduceError(f"the broker at {settings.broker_url} refused {doing}: {exception}") from exception


def open_admin(settings: Settings) -> AdminClient:
    """Return an admin client of a broker that answers.

    Raises:
        UnreachableError: it does not answer within `broker_timeout_s`; at once if its port is closed.
        BrokerRefusedError: it refused the login, or there is no trust between the two.
    """
    seen: list[str] = []
    refusals: list[BrokerRefusedError] = []

    def note(error: KafkaError) -> None:
        seen.append(error.str())
        if error.code() in _REFUSED:
            refusals.append(refused(settings, error.str(), is_tls=error.code() == KafkaError._SSL))

    admin = AdminClient(client_config(settings, error_cb=note))
    remaining_s = settings.broker_timeout_s
    while True:
        look_s = min(1.0, remaining_s)
        try:
            admin.list_topics(timeout=look_s)
            return admin
        except KafkaException as exception:
            admin.poll(0)
            if refusals:
                raise refusals[0] from None
            reason = next((text for text in seen if any(word in text.lower() for word in _HOPELESS)), None)
            remaining_s -= look_s
            if reason or remaining_s <= 0:
                raise unreachable(
                    settings, reason or (seen[0] if seen else str(exception.args[0].str()))
                ) from exception


@contextmanager
def open_consumer(settings: Settings, **options: Any) -> Iterator[Consumer]:
    """Give a consumer that belongs to no group's bookkeeping: partitions are assigned by hand, nothing is committed."""
    consumer = Consumer(
        client_config(
            settings,
            **{
                "group.id": "millrace-reader",
                "enable.auto.commit": False,
                "auto.offset.reset": "error",
                "enable.partition.eof": True,
                "isolation.level": "read_committed",
                **options,
            },
        )
    )
    try:
        yield consumer
    finally:
        consumer.close()
