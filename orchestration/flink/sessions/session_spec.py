"""What a session is to be like: mode, catalog, settings, and the statements that it opens with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from orchestration.errors import ConfigError
from orchestration.flink.text.ddl import read_head
from orchestration.flink.text.mode import Mode, check_mode
from orchestration.sql import quote_flink


@dataclass(frozen=True)
class SessionSpec:
    """What a session is to be like.

    Args:
        name: purpose, for people who look at the gateway's log; no identity.
        mode: fixed for the life of a gateway session.
        catalog, database: the current ones after opening; None leaves Flink's default.
        properties: Flink settings. Numbers and booleans become text; None is refused.
        init: statements to run in order after opening (CREATE CATALOG, CREATE TABLE, ADD JAR, …).

    Raises:
        ConfigError: another mode, or a property that has no text form.
    """

    name: str = "adhoc"
    mode: Mode = "streaming"
    catalog: str | None = None
    database: str | None = None
    properties: Mapping[str, object] = field(default_factory=dict[str, object], hash=False, repr=False)
    init: Sequence[str] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        check_mode(self.mode)
        texts = {key: setting_text(key, value) for key, value in self.properties.items()}
        object.__setattr__(self, "properties", MappingProxyType(texts))
        object.__setattr__(self, "init", tuple(self.init))

    def key(self) -> tuple[object, ...]:
        """Return what two sessions must share to be interchangeable: everything but the name."""
        return (self.mode, self.catalog, self.database, tuple(sorted(self.settings.items())), tuple(self.init))

    @property
    def settings(self) -> dict[str, str]:
        """The properties as text."""
        return {key: str(value) for key, value in self.properties.items()}

    def in_mode(self, mode: Mode) -> SessionSpec:
        """Return the same specification for another runtime mode."""
        return self if mode == self.mode else replace(self, mode=mode)

    def statements(self) -> tuple[str, ...]:
        """Return `init`, with catalog and database made current as soon as the catalog exists."""
        use = [f"USE CATALOG {quote_flink(self.catalog)}"] if self.catalog is not None else []
        use += [f"USE {quote_flink(self.database)}"] if self.database is not None else []
        at = max((number for number, sql in enumerate(self.init, start=1) if _makes(sql, self.catalog)), default=0)
        return (*self.init[:at], *use, *self.init[at:])


def _makes(sql: str, catalog: str | None) -> bool:
    head = read_head(sql)
    return head is not None and (head.action, head.object, head.path) == ("CREATE", "CATALOG", (catalog,))


def setting_text(key: str, value: object) -> str:
    """Return a setting's value as Flink reads it: numbers as text, booleans in lower case.

    Raises:
        ConfigError: None or a structure.
    """
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (str, int, float)):
        return str(value)
    raise ConfigError(f"Flink setting {key} must be text, not {value!r}")
