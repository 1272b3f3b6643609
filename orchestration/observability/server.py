"""The page over HTTP, by the server of prometheus-client: any path, gzip, OpenMetrics where it is asked for."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, generate_latest, start_http_server

from orchestration.errors import PortInUseError, StackError
from orchestration.observability.page import Page

DEFAULT_PORT = 9464
"""Where exporters of this kind are looked for; Flink's own reporter has 9249."""


def page_text(page: Page) -> str:
    """Return the page once, in Prometheus' text format."""
    return generate_latest(_registry(page)).decode()


@contextmanager
def serving(page: Page, host: str, port: int) -> Iterator[int]:
    """Serve the page in the block, and give the port; 0 takes a free one.

    Raises:
        PortInUseError: the port is taken.
        StackError: this machine has no such address.
    """
    try:
        server, thread = start_http_server(port, addr=host, registry=_registry(page))
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise PortInUseError(
                f"port {port} on {host} is taken", hint="give another one with --port", context={"port": port}
            ) from error
        raise StackError(
            f"cannot listen on {host}:{port}: {error.strerror or error}", hint="--host takes an address of this machine"
        ) from error
    try:
        yield int(server.server_port)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _registry(page: Page) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(page)
    return registry
