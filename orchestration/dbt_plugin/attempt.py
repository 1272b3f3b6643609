"""One try after another to attach a catalog: which failures are tried again, what is verified, what is said."""

from __future__ import annotations

import math
import re
import socket
from dataclasses import dataclass, replace
from time import monotonic
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from orchestration.catalog_errors import (
    CatalogAccess,
    namespace_missing,
    option_unknown,
    unreachable,
    warehouse_missing,
)
from orchestration.catalog_refusals import explain
from orchestration.dbt_plugin.credentials import Credentials
from orchestration.dbt_plugin.plugin_config import ATTACH_PROPERTIES, PluginConfig
from orchestration.dbt_plugin.statements import Attachment
from orchestration.errors import CatalogError, CatalogUnreachableError, MillraceError
from orchestration.redaction import redact
from orchestration.sql import quote_duckdb, quote_literal
from orchestration.waiting import Backoff, WaitTimeoutError, wait_for

if TYPE_CHECKING:
    import duckdb

_BETWEEN_TRIES = Backoff(first_s=0.2, most_s=2.0, factor=2.0, jitter=0.2)


@dataclass(frozen=True)
class Attempt:
    """A connection, the catalog that it shall attach, and the statements for it."""

    conn: duckdb.DuckDBPyConnection
    config: PluginConfig
    credentials: Credentials
    wanted: Attachment

    def run(self) -> None:
        """Attach and verify; tries again while nobody answers, never after a refusal."""
        start, tries = monotonic(), 0

        def look() -> tuple[bool | None, object]:
            nonlocal tries
            tries += 1
            try:
                self._once(self.config.timeout_s - (monotonic() - start))
            except CatalogUnreachableError as error:
                if tries > self.config.retries:
                    raise
                return None, error
            return True, "attached"

        try:
            wait_for(
                look,
                what=f"the Iceberg catalog at {self.config.catalog_uri}",
                timeout_s=self.config.timeout_s,
                backoff=_BETWEEN_TRIES,
            )
        except (WaitTimeoutError, CatalogUnreachableError) as error:
            last = error.last_seen if isinstance(error, WaitTimeoutError) else error
            raise self._unreachable(str(last), monotonic() - start) from None

    def _once(self, left_s: float) -> None:
        # DuckDB would try each request four times by itself, and then we the whole.
        self._set("http_retries", 0)
        self._set("http_timeout", max(1, math.ceil(left_s)))
        try:
            for statement in (*self.wanted.create_secrets(), self.wanted.attach()):
                self._execute(statement)
            try:
                self._verify()
            except MillraceError:
                self.conn.execute(f"DETACH {quote_duckdb(self.config.alias)}")
                raise
        finally:
            self._set("http_retries", self.config.retries)
            self._set("http_timeout", max(1, math.ceil(self.config.timeout_s)))

    def _verify(self) -> None:
        """Look for the layers: some servers take any warehouse name and serve the one that they have."""
        alias, wanted = self.config.alias, self.config.namespaces
        rows = self._execute(
            f"SELECT schema_name FROM duckdb_schemas() WHERE database_name = {quote_literal(alias)} ORDER BY 1"
        ).fetchall()
        known = [str(name) for (name,) in rows]
        missing = [name for name in wanted if name not in known]
        if not missing:
            return
        if self.config.create_namespaces:
            for name in missing:
                self._execute(f"CREATE SCHEMA IF NOT EXISTS {quote_duckdb(alias)}.{quote_duckdb(name)}")
        elif len(missing) == len(wanted):
            # DuckDB swallows a refused listing: an empty answer may be a missing grant too.
            there = f"it holds {', '.join(known)}" if known else "it shows no namespace to this client (NAMESPACE_LIST)"
            raise warehouse_missing(self._access(), f"it answers, but has none of {', '.join(wanted)}; {there}")
        else:
            raise namespace_missing(self._access(), missing, known)

    def _execute(self, statement: str) -> duckdb.DuckDBPyConnection:
        import duckdb

        try:
            return self.conn.execute(statement)
        except duckdb.Error as error:
            # The cause is dropped: DuckDB may quote the statement, and with it a secret.
            raise self._as_error(redact(str(error), self.credentials.values)) from None

    def _as_error(self, text: str) -> MillraceError:
        import duckdb

        found = explain(text, self._access())
        if found is not None and found.code == "PLT-OPTION":
            return option_unknown(found.context["option"], duckdb.__version__, sorted(ATTACH_PROPERTIES))
        return found or CatalogError(
            f"the Iceberg catalog at {self.config.catalog_uri} could not be attached: "
            f"{next(iter(text.strip().splitlines()), 'no reason given')}",
            hint="`millrace config show` prints its settings",
        )

    def _unreachable(self, reason: str, tried_s: float) -> CatalogUnreachableError:
        access = replace(self._access(), resolved=_resolved(self.config.catalog_uri))
        first = re.search(r"does not answer: (.*?)(?: \[host|$)", reason, re.DOTALL)
        return unreachable(access, first[1] if first else reason, tried_s=tried_s)

    def _access(self) -> CatalogAccess:
        return access_of(self.config, self.credentials.names)

    def _set(self, name: str, value: int) -> None:
        self.conn.execute(f"SET {name} = {value}")


def access_of(config: PluginConfig, credentials: str = "") -> CatalogAccess:
    """Return the facts of a configuration that error texts name."""
    return CatalogAccess(
        uri=config.catalog_uri,
        warehouse=config.warehouse,
        scope=config.scope,
        realm=config.realm,
        credentials=credentials,
        timeout_s=config.timeout_s,
    )


def _resolved(uri: str) -> str:
    """Look the host's name up, for an error text."""
    host = urlsplit(uri).hostname or ""
    try:
        return f"resolves to {socket.getaddrinfo(host, None)[0][4][0]}"
    except OSError:
        return "the name does not resolve"
