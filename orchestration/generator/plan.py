"""What to do with a file, by what the ledger knows of its content. Pure decisions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from orchestration.errors import ConfigError
from orchestration.generator.ledger import FileHistory, LedgerEntry


@dataclass(frozen=True)
class Skip:
    """The file is landed: nothing to do."""

    entry: LedgerEntry

    @property
    def attempt(self) -> int:
        """The attempt that landed."""
        return self.entry.attempt


@dataclass(frozen=True)
class Start:
    """Send the whole file as a new attempt."""

    attempt: int


@dataclass(frozen=True)
class Resume:
    """Complete the attempt that `entry` started."""

    entry: LedgerEntry

    @property
    def attempt(self) -> int:
        """The attempt to complete."""
        return self.entry.attempt


Plan = Skip | Start | Resume


def plan_landing(history: FileHistory, options: Mapping[str, object], *, again: bool, path: str) -> Plan:
    """Return what to do with a file.

    An attempt that is open is completed also with `again`, so that a killed `--again` can be run again as it was.

    Args:
        options: all that decides which topic and partition a row goes to, as it is now.

    Raises:
        ConfigError: an attempt is open, and the options changed since; names which.
    """
    started = history.started
    if started is None:
        return Start(attempt=0)
    if history.is_landed:
        return Start(started.attempt + 1) if again else Skip(history.entries[-1])
    changed = sorted(
        f"{name} was {started.options.get(name)}, is {value}"
        for name, value in options.items()
        if started.options.get(name) != value
    )
    if not changed:
        return Resume(started)
    if again:
        return Start(started.attempt + 1)
    raise ConfigError(
        f"{path} was landed in part, and where its rows go has changed since: {'; '.join(changed)}",
        hint="set it back to complete the landing, or use --again to send the whole file anew",
    )
