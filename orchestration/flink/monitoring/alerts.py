"""Alerts: to callbacks and to a webhook, each kind of trouble of a query once in a quarter of an hour."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import httpx

from orchestration.redaction import redact

_log = logging.getLogger(__name__)

QUIET = timedelta(minutes=15)
"""How long the same trouble of the same query stays quiet after it was told."""


@dataclass(frozen=True)
class Alert:
    """One trouble. Texts are without secrets from the start.

    Args:
        query: name of the query, or of the service that the trouble is with.
        code: kind of trouble: a reason's code of `health.py`, or an error's code.
        job_id, url: None when there is no job.
    """

    query: str
    code: str
    text: str
    at: datetime
    job_id: str | None = None
    url: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "text", redact(self.text))
        object.__setattr__(self, "url", redact(self.url) if self.url else None)

    @property
    def key(self) -> str:
        """What makes two alerts the same trouble."""
        return f"{self.query}:{self.code}"

    def as_json(self) -> dict[str, str | None]:
        """Return it as a webhook gets it; `text` alone is enough for chat services."""
        return {
            "text": f"Millrace: {self.query}: {self.text}",
            "query": self.query,
            "code": self.code,
            "at": self.at.isoformat(),
            "job_id": self.job_id,
            "url": self.url,
        }


Told = Mapping[str, datetime]
"""Key of an alert to when it was last told."""


def due(alerts: Iterable[Alert], told: Told, now: datetime) -> tuple[list[Alert], dict[str, datetime]]:
    """Return the alerts to send, and what is told then; what is quiet no longer is forgotten.

    Pure: who runs in several processes keeps `told` where all of them see it.
    """
    remembered = {key: at for key, at in told.items() if now - at < QUIET}
    fresh: list[Alert] = []
    for alert in alerts:
        if alert.key not in remembered:
            remembered[alert.key] = now
            fresh.append(alert)
    return fresh, remembered


class Alerts:
    """Sends alerts. A receiver that fails is logged and keeps nobody from getting the others.

    Args:
        callbacks: called with each alert.
        webhook: address that gets each alert as a JSON POST; None: no webhook. It may hold a secret, so it is never
            shown.
        told: what was sent before, from another process's `told`.
    """

    def __init__(
        self,
        *,
        callbacks: Iterable[Callable[[Alert], None]] = (),
        webhook: str | None = None,
        told: Told | None = None,
        transport: httpx.BaseTransport | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._callbacks, self._webhook, self._transport, self._clock = tuple(callbacks), webhook, transport, clock
        self.told: dict[str, datetime] = dict(told or {})

    def send(self, alerts: Iterable[Alert]) -> list[Alert]:
        """Send what was not sent in the last quarter of an hour, and return it."""
        fresh, self.told = due(alerts, self.told, self._clock())
        for alert in fresh:
            for callback in self._callbacks:
                try:
                    callback(alert)
                except Exception as error:  # noqa: BLE001 - foreign code
                    _log.warning("an alert callback failed on %s: %s", alert.key, redact(str(error)))
        if self._webhook and fresh:
            self._post(self._webhook, fresh)
        return fresh

    def _post(self, webhook: str, alerts: list[Alert]) -> None:
        with httpx.Client(timeout=5.0, transport=self._transport) as client:
            for alert in alerts:
                try:
                    client.post(webhook, json=alert.as_json()).raise_for_status()
                except httpx.HTTPStatusError as error:
                    # Only the status: the error's text repeats the address.
                    _log.warning("the webhook answered HTTP %d to %s", error.response.status_code, alert.key)
                except httpx.HTTPError as error:
                    _log.warning("the webhook did not take %s: %s", alert.key, type(error).__name__)
