"""One error with a code and a remedy for each thing that can go wrong between an engine and the catalog.

docs/polaris.md lists the codes. What an engine said is matched in `catalog_refusals`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from orchestration.errors import BusyError, CatalogError, CatalogUnreachableError, ConfigError, StackError
from orchestration.redaction import redact


@dataclass(frozen=True)
class CatalogAccess:
    """How a client reaches for the catalog, for error texts. Holds no secret.

    Attributes:
        credentials: where id and secret come from, in words; empty: none are used.
        timeout_s: that the client waits; None: unknown.
        resolved: what the host's name resolves to, in words; empty: it was not looked up.
    """

    uri: str
    warehouse: str
    scope: str | None = None
    realm: str | None = None
    credentials: str = ""
    timeout_s: float | None = None
    resolved: str = ""

    @property
    def where(self) -> str:
        """The catalog, in words."""
        return f"the Iceberg catalog at {self.uri}"


def unreachable(access: CatalogAccess, reason: str, *, tried_s: float | None = None) -> CatalogUnreachableError:
    """Return PLT-UNREACHABLE: nobody listens, the name does not resolve, no answer in time, or 5xx and 429."""
    parts = urlsplit(access.uri)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    facts = [f"host {parts.hostname}, port {port}"]
    facts += [access.resolved] if access.resolved else []
    facts += [f"tried for {tried_s:.1f} s"] if tried_s is not None else []
    facts += [f"timeout {access.timeout_s:g} s"] if access.timeout_s is not None else []
    return CatalogUnreachableError(
        f"{access.where} does not answer: {redact(reason)} [{'; '.join(facts)}]",
        hint="start the stack with `./millrace up`, or look at `./millrace status`"
        if parts.hostname in {"127.0.0.1", "localhost", "::1"}
        else "check host, port, TLS and proxy; a slow catalog needs a longer timeout_s",
        context={"code": "PLT-UNREACHABLE", "host": parts.hostname or "", "port": port},
    )


def warehouse_missing(access: CatalogAccess, reason: str) -> CatalogError:
    """Return PLT-WAREHOUSE: the catalog has no such warehouse, or silently serves another one."""
    return CatalogError(
        f"{access.where} has no warehouse {access.warehouse} under this address: {redact(reason)}",
        hint="`millrace platform bootstrap` makes it; or check CATALOG_WAREHOUSE and the path in CATALOG_URI "
        "(for Polaris it ends in /api/catalog)",
        context={"code": "PLT-WAREHOUSE", "warehouse": access.warehouse},
    )


def namespace_missing(access: CatalogAccess, names: Sequence[str], known: Sequence[str] = ()) -> CatalogError:
    """Return PLT-NAMESPACE: a layer was not created."""
    there = f"; there are {', '.join(known)}" if known else ""
    return CatalogError(
        f"the warehouse {access.warehouse} at {access.uri} has no namespace {', '.join(names)}{there}",
        hint="`millrace platform bootstrap` creates the namespaces of the layers",
        context={"code": "PLT-NAMESPACE", "namespace": ", ".join(names)},
    )


def option_unknown(option: str, version: str, allowed: Sequence[str] = ()) -> ConfigError:
    """Return PLT-OPTION: an option of ATTACH that this DuckDB does not have."""
    return ConfigError(
        f"DuckDB {version} does not know the ATTACH option {option}",
        hint=f"it knows {', '.join(allowed)}" if allowed else "remove it from the catalog's properties",
        context={"code": "PLT-OPTION", "option": option},
    )


def secret_manager_setting(name: str) -> ConfigError:
    """Return PLT-SECRET-MANAGER: a setting that DuckDB only takes before its first secret."""
    return ConfigError(
        f"the DuckDB setting {name} cannot be changed once a secret was used: dbt-duckdb sets it on every cursor, "
        "after the catalog was attached",
        hint=f"remove {name} from compute.properties (in a profile: from settings); it must be set before the first "
        "connection",
        context={"code": "PLT-SECRET-MANAGER", "setting": name},
    )


def secret_name_unknown(name: str) -> ConfigError:
    """Return PLT-SECRET-NAME: an option names a DuckDB secret that this connection does not have."""
    return ConfigError(
        f"the property SECRET names {name}, which this DuckDB connection does not have",
        hint="secrets of other processes and persistent ones are not used; remove the property SECRET and give "
        "client_id_ref and client_secret_ref",
        context={"code": "PLT-SECRET-NAME", "secret_name": name},
    )


def extension_missing(
    name: str, version: str, platform: str, directory: str, *, may_download: bool, reason: str = ""
) -> StackError:
    """Return PLT-EXTENSION: an extension is neither bundled nor installed."""
    download = "downloads are allowed" if may_download else "downloads are off"
    return StackError(
        f"the DuckDB extension {name} for DuckDB {version} ({platform}) is not installed; looked in its package and in "
        f"{directory}; {download}{f': {redact(reason)}' if reason else ''}",
        hint=f"install the package duckdb-extension-{name}=={version}: `./millrace` installs all locked packages",
        context={"code": "PLT-EXTENSION", "extension": name},
    )


def file_locked(path: str, holder: str) -> BusyError:
    """Return PLT-LOCK: another process has the DuckDB file open."""
    return BusyError(
        f"{path} is being written by {holder}",
        hint="wait until the build has ended, or give each run its own file: compute.properties.path",
        context={"code": "PLT-LOCK", "path": path},
    )
