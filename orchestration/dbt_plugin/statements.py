"""SQL that makes a catalog known to DuckDB, as text: every value quoted, secrets where nobody reads them back.

DuckDB's iceberg extension takes credentials in a secret or in ATTACH, never in both. In ATTACH everyone who may query
could read them: duckdb_databases() lists the options of ATTACH, CLIENT_SECRET included (seen in 1.5.5).
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass

from orchestration.dbt_plugin.credentials import Credentials
from orchestration.dbt_plugin.plugin_config import PluginConfig
from orchestration.errors import ConfigError
from orchestration.sql import check_identifier, quote_duckdb, quote_literal
from orchestration.storage import DuckdbValue

REALM_HEADER = "Polaris-Realm"
OptionValue = DuckdbValue | list[str]
_SALT = secrets.token_bytes(16)


@dataclass(frozen=True)
class Attachment:
    """The statements of one attached catalog.

    Attributes:
        secrets: name -> options of CREATE TEMPORARY SECRET, in order; they hold secrets.
        options: of ATTACH; with `credential_style: inline` they hold the client secret.
    """

    alias: str
    warehouse: str
    secrets: Mapping[str, Mapping[str, OptionValue]]
    options: Mapping[str, OptionValue]
    is_read_only: bool

    def create_secrets(self) -> list[str]:
        """Return the statements that must run before ATTACH. Never log them."""
        # Temporary: DuckDB writes no file under HOME.
        return [f"CREATE OR REPLACE TEMPORARY SECRET {name} ({_options(one)})" for name, one in self.secrets.items()]

    def attach(self) -> str:
        """Return the ATTACH statement."""
        flags = _options(self.options) + (", READ_ONLY" if self.is_read_only else "")
        return f"ATTACH {quote_literal(self.warehouse)} AS {quote_duckdb(self.alias)} ({flags})"

    def shown_options(self) -> dict[str, str]:
        """Return the options as duckdb_databases() shows them once the catalog is attached."""
        return {
            name.lower(): _shown(value) for name, value in self.options.items() if name not in {"TYPE", "READ_ONLY"}
        }


def attachment(
    config: PluginConfig, credentials: Credentials, *, read_only: bool = False, version: str = "1.5.5"
) -> Attachment:
    """Return what attaches the catalog.

    Args:
        version: of DuckDB: up to 1.x the address is ENDPOINT, later URI.
    """
    properties = dict(config.properties)
    is_read_only = bool(properties.pop("READ_ONLY", False)) or read_only
    options: dict[str, OptionValue] = {
        "TYPE": "iceberg",
        _address_option(version): config.catalog_uri,
        "ACCESS_DELEGATION_MODE": config.access_delegation.replace("-", "_"),
    }
    if config.storage.type == "local":
        # A staged table has no folder yet, and DuckDB 1.5.5 does not make it: "...-m0.avro: No such file".
        options["STAGE_CREATE_TABLES"] = False
    options |= {name: value if isinstance(value, bool | dict) else str(value) for name, value in properties.items()}
    named = _storage_secret(config, credentials) | _realm_secret(config)
    client = _client(config, credentials)
    if not client:
        if "SECRET" not in properties:
            options["AUTHORIZATION_TYPE"] = "none"
    elif config.credential_style == "inline":
        options |= client
    else:
        name = f"{config.alias.lower()}_catalog_{_fingerprint(client, config.realm or '')}"
        named[name] = {"TYPE": "iceberg", **client}
        options["SECRET"] = name
    return Attachment(config.alias, config.warehouse, named, options, is_read_only)


def _address_option(version: str) -> str:
    return "ENDPOINT" if int(version.split(".")[0]) < 2 else "URI"


def _client(config: PluginConfig, credentials: Credentials) -> dict[str, OptionValue]:
    if credentials.client_id is None or credentials.client_secret is None:
        return {}
    secret = credentials.client_secret.get_secret_value()
    if any(ord(char) < 32 for char in secret + credentials.client_id):
        raise ConfigError(
            f"a value behind {credentials.names} holds a line break or another control character",
            hint="store the value alone, without a line end",
        )
    options: dict[str, OptionValue] = {
        "CLIENT_ID": credentials.client_id,
        "CLIENT_SECRET": secret,
        "OAUTH2_SERVER_URI": config.token_uri,
    }
    # Without it DuckDB asks for PRINCIPAL_ROLE:ALL.
    return options | ({"OAUTH2_SCOPE": config.scope} if config.scope else {})


def _realm_secret(config: PluginConfig) -> dict[str, Mapping[str, OptionValue]]:
    """The realm goes into a secret of type http: EXTRA_HTTP_HEADERS of iceberg stay out of token requests (1.5.5)."""
    if config.realm is None:
        return {}
    return {
        f"{config.alias}_realm": {
            "TYPE": "http",
            "SCOPE": list(dict.fromkeys((config.catalog_uri, config.token_uri))),
            "EXTRA_HTTP_HEADERS": {REALM_HEADER: config.realm},
        }
    }


def _storage_secret(config: PluginConfig, credentials: Credentials) -> dict[str, Mapping[str, OptionValue]]:
    if config.access_delegation != "none" or not credentials.storage:
        return {}
    return {f"{config.alias}_storage": credentials.storage}


def _fingerprint(client: Mapping[str, OptionValue], realm: str) -> str:
    """Name credentials without showing them: other ones under the same alias are noticed. Changes with the process."""
    text = "\n".join([*(f"{name}={value}" for name, value in client.items()), realm])
    return hmac.new(_SALT, text.encode(), hashlib.sha256).hexdigest()[:8]


def _options(options: Mapping[str, OptionValue]) -> str:
    return ", ".join(f"{check_identifier(name, 'option')} {_value(value)}" for name, value in options.items())


def _value(value: OptionValue) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return "[" + ", ".join(map(quote_literal, value)) + "]"
    if isinstance(value, dict):
        return "MAP {" + ", ".join(f"{quote_literal(key)}: {quote_literal(text)}" for key, text in value.items()) + "}"
    return quote_literal(value)


def _shown(value: OptionValue) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}={text}" for key, text in value.items()) + "}"
    return str(value)
