"""Connector profiles: named sets of connector options, read from platform/connectors.yml."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator, model_validator

from orchestration.errors import ConfigError
from orchestration.flink.tables.connectors import CONNECTORS
from orchestration.flink.text.references import check_value, is_reference
from orchestration.sql import check_identifier

AUTO = "auto"


def _as_text(value: object) -> object:
    match value:
        case bool():
            return str(value).lower()
        case int() | float():
            return str(value)
        case _:
            return value


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class ConnectorProfile(_Model):
    """A connector with its options.

    Attributes:
        options: as in a WITH clause; they win over generated ones, and those of a query win over them.
        root: of `filesystem`: folder or address under which all sinks lie; None: `sinks` in the instance's folder.
        namespace: of `iceberg`: where its tables are made.
    """

    connector: str
    description: str = ""
    options: dict[str, Annotated[str, BeforeValidator(_as_text)]] = {}
    root: str | None = Field(default=None, min_length=1)
    namespace: str = "streams"

    @field_validator("connector")
    @classmethod
    def _known_connector(cls, value: str) -> str:
        if value not in CONNECTORS:
            raise ValueError(f"there is no connector {value!r}; known: {', '.join(CONNECTORS)}")
        return value

    @field_validator("namespace")
    @classmethod
    def _plain_namespace(cls, value: str) -> str:
        try:
            return check_identifier(value, "namespace")
        except ConfigError as error:
            raise ValueError(error.message) from error

    @model_validator(mode="after")
    def _fields_fit_the_connector(self) -> ConnectorProfile:
        for name, connector in (("root", "filesystem"), ("namespace", "iceberg")):
            if name in self.model_fields_set and self.connector != connector:
                raise ValueError(f"{name} is for connector {connector} only")
        if "path" in self.options and self.connector == "filesystem":
            raise ValueError("give root instead of the option path: each sink gets a folder of its own in it")
        return self

    @property
    def holds_secrets(self) -> bool:
        """Whether an option is a reference."""
        return any(is_reference(value) for value in self.options.values())


class Profiles(_Model):
    """All profiles of a file. The name `auto` is taken: it chooses between `kafka` and `upsert-kafka`."""

    version: Literal[1]
    profiles: dict[str, ConnectorProfile]

    @field_validator("profiles")
    @classmethod
    def _auto_is_taken(cls, value: dict[str, ConnectorProfile]) -> dict[str, ConnectorProfile]:
        if AUTO in value:
            raise ValueError(f"no profile can be called {AUTO!r}")
        return value

    def get(self, name: str) -> ConnectorProfile:
        """Return a profile.

        Raises:
            ConfigError: there is none of that name.
        """
        if name not in self.profiles:
            raise ConfigError(
                f"there is no connector profile {name!r}", hint=f"profiles: {AUTO}, {', '.join(self.profiles)}"
            )
        return self.profiles[name]


def load_profiles(path: Path) -> Profiles:
    """Read and check a file of profiles. Secrets are not resolved.

    Raises:
        ConfigError: the file is missing, is not YAML, or breaks a rule; names every problem.
    """
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(
            f"connector profiles {path} cannot be read: {error.strerror}",
            hint="SQL_ENGINE_PROFILES names another file",
        ) from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not YAML: {' '.join(str(error).split())}") from error
    try:
        loaded = Profiles.model_validate(raw)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, item['loc'])) or 'file'}: {item['msg'].removeprefix('Value error, ')}"
            for item in error.errors()
        )
        raise ConfigError(f"{path} is wrong: {problems}") from error
    for name, profile in loaded.profiles.items():
        where = f"profile {name} in {path}"
        try:
            CONNECTORS[profile.connector].check_options(profile.options)
        except ConfigError as error:
            raise ConfigError(f"{where}: {error.message}", hint=error.hint, context=error.context) from error
        for option, value in profile.options.items():
            check_value(option, value, where)
    return loaded
