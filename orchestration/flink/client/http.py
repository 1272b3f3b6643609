"""HTTP to one Flink service: JSON in and out, retries where they are safe, errors of our tree.

Both Flink clients speak through `JsonHttp`, so that the rule "what may be repeated" is written once:

- an idempotent call is repeated after any transport error and after 502, 503 or 504;
- any other call only when the connection itself failed, that is, when nothing was sent.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import TypeVar
from urllib.parse import urlsplit

import httpx
import stamina
import stamina.instrumentation
from pydantic import BaseModel, ValidationError

from orchestration.errors import ConfigError, FlinkError, UnreachableError
from orchestration.flink.client.connection import HttpOptions, RetryPolicy
from orchestration.flink.client.failures import REMEDY, OutcomeUnknownError, error_from_answer

_log = logging.getLogger(__name__)

M = TypeVar("M", bound=BaseModel)

_UNAVAILABLE = frozenset({502, 503, 504})
"""A proxy without a backend, or a JobManager in leader election."""

_NOTHING_DONE = 503
"""Flink's own answer while it has no leader; 502 and 504 come from a proxy, behind which all may have happened."""


@dataclass(frozen=True)
class Answer:
    """Status and parsed body; numbers with a fraction are Decimal, so that nothing passes through binary floats."""

    status: int
    body: object

    def parse(self, model: type[M]) -> M:
        """Return the body as `model`.

        Raises:
            FlinkError: the body has another shape.
        """
        try:
            return model.model_validate(self.body)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise FlinkError(
                f"Flink answered with a {model.__name__} that cannot be read: {where}: {first['msg']}",
                hint="Millrace is tested with Flink 2.1: check the version of the cluster",
            ) from error


def _log_retry(details: stamina.instrumentation.RetryDetails) -> None:
    _log.debug("attempt %d failed, next in %.2f s: %r", details.retry_num, details.wait_for, details.caused_by)


class _Unavailable(Exception):
    def __init__(self, status: int) -> None:
        self.status = status
        super().__init__(f"HTTP {status}")


def check_base_url(url: str, what: str) -> str:
    """Return `url` without a trailing slash and without an API version.

    Raises:
        ConfigError: it has no http(s) scheme or no host.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError(f"{what} URL {url!r} is not of the form http://host:port")
    return url.rstrip("/").removesuffix("/v1").rstrip("/")


class JsonHttp:
    """A connection pool to one service; safe to share between threads and to use after a fork.

    Args:
        service: name for people in error texts.
        unreachable_code: the error code when it does not answer.
        transport: replaces the network in tests.
    """

    def __init__(
        self,
        base_url: str,
        *,
        service: str,
        unreachable_code: str,
        options: HttpOptions,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        # Stamina would report through structlog, whose default prints to stdout and so into `--json` output.
        stamina.instrumentation.set_on_retry_hooks([_log_retry])
        self.base_url = check_base_url(base_url, service)
        self._service, self._code, self._options, self._transport = service, unreachable_code, options, transport
        self._pid, self._client = os.getpid(), self._connect()

    def _connect(self) -> httpx.Client:
        # Flink is an internal service: a proxy of the user's environment must not come between (trust_env).
        options = self._options
        return httpx.Client(
            base_url=self.base_url,
            timeout=httpx.Timeout(options.read_timeout_s, connect=options.connect_timeout_s),
            transport=self._transport,
            verify=options.tls(),
            headers=options.headers,
            trust_env=False,
        )

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def call(
        self,
        method: str,
        path: str,
        *,
        json_body: Mapping[str, object] | None = None,
        params: Mapping[str, str | int] | None = None,
        is_idempotent: bool | None = None,
        accept: Iterable[int] = (),
        context: Mapping[str, object] | None = None,
        once_within_s: float | None = None,
    ) -> Answer:
        """Send one request and return the answer.

        Args:
            is_idempotent: None means that GET is and everything else is not.
            accept: statuses of 400 and above that the caller reads itself.
            once_within_s: for a process that ends: one attempt, and this long.

        Raises:
            UnreachableError: the service does not answer; OutcomeUnknownError when the request may have taken effect.
            UnauthorizedError, OverloadedError: something in front of the service turns the request away.
            FlinkError, StatementError, SessionLostError, JobFailedError: the service answered with an error.
        """
        repeatable = method == "GET" if is_idempotent is None else is_idempotent
        try:
            response = self._send(method, path, json_body, params, repeatable, once_within_s)
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise self._unreachable("does not answer") from error
        except _Unavailable as error:
            if repeatable or error.status == _NOTHING_DONE:
                raise self._unreachable(f"answers HTTP {error.status} to {method} {path}") from error
            raise self._unknown(f"answered HTTP {error.status} to {method} {path}", context) from error
        except httpx.TransportError as error:
            text = "did not answer in time" if isinstance(error, httpx.TimeoutException) else "broke the connection"
            if repeatable:
                raise self._unreachable(text) from error
            raise self._unknown(f"{text} after {method} {path} was sent", context) from error
        if response.status_code >= 400 and response.status_code not in tuple(accept):
            call = f"{method} {path}"
            raise error_from_answer(self._service, call, response.status_code, response.text, dict(context or {}))
        return Answer(response.status_code, _parse(response))

    def _send(
        self,
        method: str,
        path: str,
        json_body: Mapping[str, object] | None,
        params: Mapping[str, str | int] | None,
        repeatable: bool,
        once_within_s: float | None,
    ) -> httpx.Response:
        def may_repeat(error: Exception) -> bool:
            if isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout)):
                return True
            return repeatable and isinstance(error, (httpx.TransportError, _Unavailable))

        if self._pid != os.getpid():  # after a fork the sockets belong to the parent
            self._pid, self._client = os.getpid(), self._connect()
        options = self._options
        retry = options.retry if once_within_s is None else RetryPolicy(attempts=1)
        timeout = httpx.USE_CLIENT_DEFAULT if once_within_s is None else httpx.Timeout(once_within_s)
        for attempt in stamina.retry_context(
            on=may_repeat,
            attempts=retry.attempts,
            timeout=retry.total_s,
            wait_initial=retry.first_s,
            wait_max=retry.most_s,
            wait_jitter=retry.first_s,
        ):
            with attempt:
                if attempt.num > 1 and options.on_retry is not None:
                    options.on_retry(path)
                response = self._client.request(method, path, json=json_body, params=params, timeout=timeout)
                if response.status_code in _UNAVAILABLE:
                    raise _Unavailable(response.status_code)
                return response
        raise AssertionError("stamina makes at least one attempt")

    def _unreachable(self, what: str) -> UnreachableError:
        where = f"the {self._service} at {self.base_url}"
        return UnreachableError(f"{where} {what}", hint=REMEDY, context={"url": self.base_url, "code": self._code})

    def _unknown(self, what: str, context: Mapping[str, object] | None) -> OutcomeUnknownError:
        where = f"the {self._service} at {self.base_url}"
        known = {"url": self.base_url, "code": self._code, **(context or {})}
        return OutcomeUnknownError(f"{where} {what}", hint=REMEDY, context=known)


def _parse(response: httpx.Response) -> object:
    if not response.content:
        return {}
    try:
        return json.loads(response.text, parse_float=Decimal)
    except ValueError as error:
        if response.status_code >= 400:
            return response.text
        raise FlinkError(
            f"{response.request.method} {response.request.url} answered with something that is not JSON",
            hint="does another server listen on this port?",
        ) from error
