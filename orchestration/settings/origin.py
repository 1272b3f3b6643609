"""Where loaded settings came from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from orchestration.secrets import SecretRef

Trail = Mapping[str, Sequence[tuple[str, str]]]


def _no_trail() -> Trail:
    return {}


@dataclass(frozen=True)
class Origin:
    """Where loaded settings came from: source of each given field, the profile's file, and notes on the files.

    Attributes:
        environ: the variables that references to secrets are looked up in.
        references: secrets by the field that they fill, also those that have a value.
        trail: every (source, value) of a field, from the weakest to the strongest.
    """

    sources: Mapping[str, str] = field(default_factory=dict[str, str])
    profile_path: Path | None = None
    notes: tuple[str, ...] = ()
    environ: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    references: Mapping[str, SecretRef] = field(default_factory=dict[str, SecretRef])
    trail: Trail = field(default_factory=_no_trail, repr=False)
