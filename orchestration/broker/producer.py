"""The idempotent producer: every event is acknowledged in order, or the run fails and says how many are not."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from orchestration.broker.client import client_config, unreachable
from orchestration.errors import MillraceError, ProduceError
from orchestration.settings import Settings

DELIVERY_TIMEOUT_MS = 120_000

PRODUCER_OPTIONS: dict[str, object] = {
    "enable.idempotence": True,
    # A batch that cannot be delivered stops everything: a later batch of the partition must never overtake a lost one,
    # because the highest row number on a partition is taken as the proof of all lower ones (generator/resume.py).
    "enable.gapless.guarantee": True,
    "acks": "all",
    "compression.type": "lz4",
    "linger.ms": 5,
    "batch.num.messages": 10_000,
    "batch.size": 1_000_000,
    # Bounds the memory beside PRODUCER_BUFFER_MB: 100,000 events are half a second of work and about 60 MB.
    "queue.buffering.max.messages": 100_000,
    "delivery.timeout.ms": DELIVERY_TIMEOUT_MS,
    # A Python callback an event halves the rate; only failures call back, `finish` proves the rest.
    "delivery.report.only.error": True,
}


Headers = dict[str, str | bytes | None]


class EventProducer:
    """Sends events and proves their delivery. Use as a context manager; call `finish` at the end.

    Attributes:
        sent: events handed over so far.
        failed: events that the broker finally refused or did not acknowledge in time.
    """

    def __init__(self, settings: Settings, options: Mapping[str, object] | None = None) -> None:
        self._settings = settings
        self._first_error: KafkaError | None = None
        self._fatal: KafkaError | None = None
        self.sent = 0
        self.failed = 0
        self._producer = Producer(
            client_config(
                settings,
                **PRODUCER_OPTIONS | {"queue.buffering.max.kbytes": settings.producer_buffer_mb * 1024},
                on_delivery=self._on_failure,
                error_cb=self._on_error,
                **(options or {}),
            )
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            # What is still queued would go out while the interpreter unwinds; a later run continues after it anyway.
            self._producer.purge()
            self._producer.flush(1.0)

    def send(
        self,
        topic: str,
        values: Sequence[bytes],
        keys: Sequence[bytes | None],
        partitions: Sequence[int],
        headers: Sequence[bytes],
        header_name: str,
    ) -> None:
        """Queue events, in order; waits while the queue is full.

        Raises:
            ProduceError: an event was refused for good, or the queue did not move for the delivery timeout.
        """
        produce = self._producer.produce
        for value, key, partition, header in zip(values, keys, partitions, headers, strict=True):
            try:
                # callback, on_delivery, timestamp, headers by position: keywords cost a fifth of the call.
                produce(topic, value, key, partition, None, None, 0, {header_name: header})
            except BufferError:
                self._send_waiting(topic, value, key, partition, {header_name: header})
            except KafkaException as exception:
                raise self._refused(exception) from exception
        self.sent += len(values)
        self.serve()

    def send_one(self, topic: str, partition: int, value: bytes, headers: Headers, key: bytes | None = None) -> None:
        """Queue one event."""
        try:
            self._producer.produce(topic, value, key, partition, headers=headers)
        except BufferError:
            self._send_waiting(topic, value, key, partition, headers)
        except KafkaException as exception:
            raise self._refused(exception) from exception
        self.sent += 1
        self.serve()

    def serve(self, timeout_s: float = 0) -> None:
        """Take delivery failures; raises ProduceError if there was one."""
        self._producer.poll(timeout_s)
        if self.failed or self._fatal:
            raise self._failure()

    def finish(self) -> None:
        """Wait until every event is acknowledged.

        Raises:
            ProduceError: some are not after `producer_flush_timeout_s` without progress; says how many.
        """
        waiting = self._waiting()
        while waiting:
            left = self._producer.flush(self._settings.producer_flush_timeout_s)
            if self.failed or self._fatal:
                raise self._failure()
            if left >= waiting:
                raise ProduceError(
                    f"{left} of {self.sent} events were not acknowledged by the broker at {self._settings.broker_url} "
                    f"within {self._settings.producer_flush_timeout_s:g} s",
                    hint="look at `./millrace status`, then run again: it continues after the last acknowledged event",
                )
            waiting = left
        self.serve()

    def _waiting(self) -> int:
        return len(self._producer)

    def _send_waiting(self, topic: str, value: bytes, key: bytes | None, partition: int, headers: Headers) -> None:
        """Queue one event when the queue is full: wait for room."""
        give_up = time.monotonic() + DELIVERY_TIMEOUT_MS / 1000 + self._settings.producer_flush_timeout_s
        while True:
            # Returns as soon as a callback ran; successes call nothing, so it is a wait of 10 ms.
            self.serve(0.01)
            try:
                self._producer.produce(topic, value, key, partition, headers=headers)
                return
            except BufferError:
                if time.monotonic() > give_up:
                    raise unreachable(self._settings, f"its queue of {self._waiting()} events does not move") from None
            except KafkaException as exception:
                raise self._refused(exception) from exception

    def _on_failure(self, error: KafkaError | None, _: Message) -> None:
        if error is not None:
            self.failed += 1
            self._first_error = self._first_error or error

    def _on_error(self, error: KafkaError) -> None:
        if error.fatal():
            self._fatal = self._fatal or error

    def _refused(self, exception: KafkaException) -> MillraceError:
        error = exception.args[0]
        if error.code() == KafkaError._FATAL:
            self._producer.poll(0)
            return self._failure(error)
        return ProduceError(f"the broker at {self._settings.broker_url} refused an event: {error.str()}")

    def _failure(self, error: KafkaError | None = None) -> ProduceError:
        cause = self._first_error or self._fatal or error
        # A fatal error takes every queued event with it.
        lost = max(self.failed, self._waiting(), 1)
        return ProduceError(
            f"at least {lost} of {self.sent} events were not acknowledged by the broker at "
            f"{self._settings.broker_url}: {cause.str() if cause else 'unknown reason'}",
            hint="look at `./millrace status`, then run again: it continues after the last acknowledged event",
            context={"failed": self.failed, "sent": self.sent},
        )
