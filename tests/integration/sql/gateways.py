"""A SQL Gateway of a test's own in front of the running cluster: with its own options, to be restarted or cut off."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import subprocess
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from orchestration.embedded.flink_cluster import cluster_config, config_yaml, environment, flink_servers
from orchestration.embedded.java import java_binary
from orchestration.embedded.plan import jar_paths
from orchestration.embedded.server import argument_file
from orchestration.errors import SessionLostError, UnreachableError
from orchestration.flink.client.connection import HttpOptions, RetryPolicy
from orchestration.flink.client.gateway import GatewayClient
from orchestration.settings import Settings
from orchestration.waiting import Backoff, wait_for

ONCE = HttpOptions(connect_timeout_s=2.0, read_timeout_s=5.0, retry=RetryPolicy(attempts=1))


def free_port() -> int:
    """Return a port of the loopback interface that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class OwnGateway:
    """One SQL Gateway process. Context manager; `settings` are those of an engine that speaks to it.

    Args:
        folder: for its configuration and its log.
        options: over those of the stack's gateway, such as `sql-gateway.session.max-num`.
    """

    def __init__(self, settings: Settings, folder: Path, options: Mapping[str, object]) -> None:
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        self.settings = settings.with_changes(flink_sql_gateway_port=port, flink_sql_gateway_url=url)
        self.log = folder / "gateway.log"
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        config = {**cluster_config(self.settings, rpc_port=0), **options}
        (folder / "config.yaml").write_text(config_yaml(config))
        _, _, server = flink_servers(self.settings, jar_paths(settings, "flink"), rpc_port=0)
        (folder / "gateway.args").write_text(argument_file(server.java_args))

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start it and wait until it answers."""
        environ = os.environ | environment(self.settings) | {"FLINK_CONF_DIR": str(self._folder)}
        with self.log.open("ab") as log:
            command = [str(java_binary()), f"@{self._folder / 'gateway.args'}"]
            self._process = subprocess.Popen(command, stdout=log, stderr=log, env=environ)
        with GatewayClient(self.settings.flink_sql_gateway_url, options=ONCE) as client:

            def look() -> tuple[bool | None, object]:
                assert self._process is not None
                assert self._process.poll() is None, f"the gateway ended, see {self.log}"
                try:
                    return bool(client.info().version), "answered"
                except UnreachableError as error:
                    return None, error.message

            wait_for(look, what="the test's own gateway", timeout_s=90, backoff=Backoff(0.2, 0.5))

    def stop(self) -> None:
        """End it at once, as a crash does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


def knows_session(settings: Settings, handle: str) -> bool:
    """Whether the gateway of these settings knows a session."""
    with GatewayClient(settings.flink_sql_gateway_url, options=ONCE) as client:
        try:
            client.session_config(handle)
        except SessionLostError:
            return False
        return True


class Forwarder:
    """A TCP relay that can be cut: the server behind it stays up, and those in front of it find nobody."""

    def __init__(self, target_port: int) -> None:
        self.port, self._target = free_port(), target_port
        self._listener: socket.socket | None = None
        self._open: set[socket.socket] = set()
        self.mend()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.cut()

    def mend(self) -> None:
        """Take connections (again)."""
        listener = socket.create_server(("127.0.0.1", self.port), reuse_port=False)
        self._listener = listener
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def cut(self) -> None:
        """Drop all connections and refuse new ones."""
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        for connection in list(self._open):
            _shut(connection)

    def _accept(self, listener: socket.socket) -> None:
        while self._listener is listener:
            try:
                client, _ = listener.accept()
                server = socket.create_connection(("127.0.0.1", self._target))
            except OSError:
                return
            self._open |= {client, server}
            threading.Thread(target=self._relay, args=(client, server), daemon=True).start()

    def _relay(self, client: socket.socket, server: socket.socket) -> None:
        other = {client: server, server: client}
        try:
            while True:
                for source in select.select(list(other), [], [])[0]:
                    data = source.recv(65536)
                    if not data:
                        return
                    other[source].sendall(data)
        except (OSError, ValueError):  # cut
            return
        finally:
            for connection in other:
                connection.close()
                self._open.discard(connection)


def _shut(connection: socket.socket) -> None:
    """Close a connection that another thread reads from."""
    with contextlib.suppress(OSError):  # it ended by itself
        connection.shutdown(socket.SHUT_RDWR)
