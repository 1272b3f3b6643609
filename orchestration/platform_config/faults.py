"""What is wrong with a configuration file: where, at which key, what, and what to do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from orchestration.errors import ConfigError


@dataclass(frozen=True)
class Fault:
    """One fault.

    Attributes:
        where: file and line, such as `platform/platform.yaml:12`.
        key: path of the key, such as `catalogs.default.uri`; empty: the file as a whole.
        text: what is wrong. It never holds a value that may be secret.
        remedy: what to do.
    """

    where: str
    key: str
    text: str
    remedy: str

    def __str__(self) -> str:
        # No colon after the key: redaction would take the rest of `client_secret: ...` for a value.
        at = f" at {self.key}," if self.key else ""
        return f"{self.where}:{at} {self.text}; {self.remedy}"

    def as_dict(self) -> dict[str, str]:
        """Return it for machines."""
        return {"where": self.where, "key": self.key, "problem": self.text, "remedy": self.remedy}


class TierError(ConfigError):
    """Configuration files that are refused.

    Attributes:
        faults: all of them.
    """

    def __init__(self, faults: Sequence[Fault], context: Mapping[str, object] | None = None) -> None:
        self.faults = tuple(faults)
        super().__init__(
            "\n".join(str(fault) for fault in faults),
            hint="docs/platform.md explains every key; nothing was written",
            context=context,
        )


def closest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that `name` was probably meant to be, or None."""
    return next(iter(get_close_matches(name, list(known), n=1, cutoff=0.7)), None)


def listed(names: Iterable[str]) -> str:
    """Return names for an error text."""
    return ", ".join(sorted(names)) or "none"


def suggest(name: str, known: Iterable[str]) -> str:
    """Return what there is in place of an unknown name, the closest first."""
    known = list(known)
    meant = closest(name, known)
    return f"did you mean {meant}? There are: {listed(known)}" if meant else f"there are: {listed(known)}"
