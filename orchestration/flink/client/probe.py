"""Is there a cluster behind the gateway? Asked before a statement is sent: the gateway itself tries for 60 s."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import httpx

from orchestration.errors import MillraceError, UnreachableError
from orchestration.flink.client.connection import HttpOptions, RetryPolicy
from orchestration.flink.client.gateway import GatewayClient
from orchestration.flink.client.models import ClusterOverview, GatewayInfo
from orchestration.flink.client.rest import FlinkRest
from orchestration.waiting import Backoff, WaitTimeoutError, wait_for

ALIVE_S = 1.0
"""How long a cluster that answered is taken for alive, so that a warm path pays nothing."""

_POLL = Backoff(first_s=0.5, most_s=2.0)


class Probe:
    """Asks gateway and cluster with short limits of its own: each answer takes less than 10 s, whatever it is."""

    def __init__(
        self, gateway_url: str, rest_url: str, options: HttpOptions, transport: httpx.BaseTransport | None = None
    ) -> None:
        impatient = replace(options, connect_timeout_s=2.0, read_timeout_s=4.0, retry=RetryPolicy(2, total_s=9.0))
        self._gateway = GatewayClient(gateway_url, transport=transport, options=impatient)
        self._rest = FlinkRest(rest_url, timeout_s=None, transport=transport, options=impatient)
        self._alive_until = 0.0
        self._one_at_a_time = threading.Lock()

    def close(self) -> None:
        """Close the connections."""
        self._gateway.close()
        self._rest.close()

    def require_cluster(self) -> None:
        """Return if the cluster answers, or did a moment ago.

        Raises:
            UnreachableError: code `cluster_unreachable`.
        """
        with self._one_at_a_time:
            if time.monotonic() >= self._alive_until:
                self._rest.overview()
                self._alive_until = time.monotonic() + ALIVE_S

    def both(self) -> tuple[GatewayInfo, ClusterOverview]:
        """Return what gateway and cluster say about themselves.

        Raises:
            UnreachableError: code `gateway_unreachable` or `cluster_unreachable`; the gateway's first.
        """
        with ThreadPoolExecutor(2, thread_name_prefix="flink-probe") as threads:
            info, overview = threads.submit(self._gateway.info), threads.submit(self._rest.overview)
            return info.result(), overview.result()

    def wait(self, timeout_s: float) -> tuple[GatewayInfo, ClusterOverview]:
        """Return what both say once both answer; a stack that was just started needs half a minute.

        Raises:
            UnreachableError: names the one that is missing.
        """
        last: MillraceError | None = None

        def look() -> tuple[tuple[GatewayInfo, ClusterOverview] | None, object]:
            nonlocal last
            try:
                return self.both(), "both answer"
            except UnreachableError as error:
                last = error
                return None, error.message

        try:
            return wait_for(look, what="the SQL Gateway and the cluster", timeout_s=timeout_s, backoff=_POLL)
        except WaitTimeoutError as error:
            context = last.context if last is not None else {}
            raise UnreachableError(str(error), hint=last.hint if last else None, context=context) from error
