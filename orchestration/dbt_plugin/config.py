"""What DuckDB is told about the catalog and the object store, as a frozen model that renders its own SQL."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from pydantic import BaseModel, ConfigDict, SecretStr

from orchestration.errors import ConfigError
from orchestration.naming import CATALOG
from orchestration.settings import Settings, load_settings
from orchestration.sql import check_identifier, quote_duckdb, quote_literal
from orchestration.storage import DuckdbValue, duckdb_attach_options, duckdb_secret_options

CATALOG_SECRET = "millrace_catalog"
STORAGE_SECRET = "millrace_storage"

# DuckDB's iceberg extension takes these in a secret or in ATTACH, never in both. In ATTACH everyone who may query could
# read them: duckdb_databases() lists the options of ATTACH, CLIENT_SECRET included (seen in 1.5.5).
_OF_SECRET = frozenset({"CLIENT_ID", "CLIENT_SECRET", "OAUTH2_SERVER_URI", "OAUTH2_SCOPE"})
_HEADERS = "EXTRA_HTTP_HEADERS"


class LakehouseConfig(BaseModel):
    """How DuckDB reaches the lakehouse.

    Attributes:
        uri: address of the REST catalog, for error texts.
        warehouse: its warehouse (Polaris: catalog) name.
        attach_options: of ATTACH; holds no secret.
        catalog_secret: of CREATE SECRET (TYPE iceberg); empty if the catalog asks for no credentials.
        storage_secret: of CREATE SECRET for the object store; empty if none is needed.
        secrets: every secret in the two, to be removed from error texts.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    uri: str
    warehouse: str
    attach_options: Mapping[str, DuckdbValue]
    catalog_secret: Mapping[str, DuckdbValue]
    storage_secret: Mapping[str, DuckdbValue]
    secrets: tuple[SecretStr, ...]

    @classmethod
    def from_settings(cls, settings: Settings) -> LakehouseConfig:
        """Return the configuration that the settings ask for.

        Raises:
            ConfigError: the catalog is hadoop, has no address, or has an id without its secret.
        """
        if (settings.catalog_client_id is None) != (settings.catalog_client_secret is None):
            raise ConfigError("CATALOG_CLIENT_ID and CATALOG_CLIENT_SECRET go together, only one of them is set")
        options = duckdb_attach_options(settings)
        if not settings.catalog_uri:
            raise ConfigError("CATALOG_URI is not set", hint="`millrace config show` prints every setting")
        in_secret = _OF_SECRET | ({_HEADERS} if "CLIENT_SECRET" in options else set[str]())
        catalog_secret = {name: value for name, value in options.items() if name in in_secret}
        return cls(
            uri=settings.catalog_uri,
            warehouse=settings.catalog_warehouse,
            attach_options={name: value for name, value in options.items() if name not in in_secret},
            catalog_secret={"TYPE": "iceberg", **catalog_secret} if catalog_secret else {},
            storage_secret=duckdb_secret_options(settings),
            secrets=_secrets(settings),
        )

    def statements(self, *, read_only: bool = False) -> Iterator[str]:
        """Yield the statements that attach the catalog, in order. They hold secrets: never log them."""
        for name, options in ((STORAGE_SECRET, self.storage_secret), (CATALOG_SECRET, self.catalog_secret)):
            if options:
                # Temporary: DuckDB writes no file under HOME.
                yield f"CREATE OR REPLACE TEMPORARY SECRET {name} ({_options(options)})"
        flags = _options(self.attach_options)
        if self.catalog_secret:
            flags += f", SECRET {CATALOG_SECRET}"
        if read_only:
            flags += ", READ_ONLY"
        yield f"ATTACH IF NOT EXISTS {quote_literal(self.warehouse)} AS {quote_duckdb(CATALOG)} ({flags})"


def _options(options: Mapping[str, DuckdbValue]) -> str:
    return ", ".join(f"{check_identifier(name, 'option')} {_value(value)}" for name, value in options.items())


def _value(value: DuckdbValue) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "MAP {" + ", ".join(f"{quote_literal(key)}: {quote_literal(text)}" for key, text in value.items()) + "}"
    return quote_literal(value)


def _secrets(settings: Settings) -> tuple[SecretStr, ...]:
    values: Iterator[object] = (getattr(settings, name) for name in type(settings).model_fields)
    return tuple(value for value in values if isinstance(value, SecretStr))


_bound: Settings | None = None


@contextmanager
def bound_settings(settings: Settings) -> Iterator[None]:
    """Let the plugin use `settings` instead of the environment while dbt runs in this process.

    dbt makes the plugin itself and hands it nothing but the profile, where secrets do not belong. Process-wide, since
    dbt runs models in threads of its own; callers hold the runner's lock.
    """
    global _bound
    before, _bound = _bound, settings
    try:
        yield
    finally:
        _bound = before


def current_settings() -> Settings:
    """Return the bound settings, else those of the process."""
    return _bound or load_settings()
