"""Dead letters by class, and which of them somebody means. Pure."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field
from datetime import datetime

from orchestration.broker.dead_letters import NO_ENVELOPE, NO_ROW, DeadLetter

Place = tuple[int, int]

_BY_TEXT = (
    ("no_envelope", NO_ENVELOPE),
    ("tombstone", "tombstone"),
    ("malformed", "not JSON"),
    ("malformed", "JSON, but not an object"),
    ("malformed", "not UTF-8 text"),
    ("malformed", "a field is there twice"),
    ("malformed", NO_ROW),
    ("missing", "is required and missing"),
    ("out_of_range", "is out of the range of"),
    ("out_of_range", "is not in the years"),
    ("out_of_range", "is not a finite number"),
    ("wrong_type", "is not a"),
)
"""Class to a part of the reason; the first that fits counts."""
CLASSES = (*dict.fromkeys(name for name, _ in _BY_TEXT), "other")


def class_of(reason: str) -> str:
    """Return the class of a reason, one of CLASSES."""
    return next((name for name, part in _BY_TEXT if part in reason), "other")


@dataclass(frozen=True)
class Selection:
    """Which dead letters are meant; empty: all.

    Attributes:
        reason: a class, or a part of the reason, case aside.
        since: only what the broker took then or later.
        places: (partition, offset) of the letters.
    """

    reason: str | None = None
    since: datetime | None = None
    places: Set[Place] = frozenset()

    def takes(self, letter: DeadLetter) -> bool:
        """Whether the letter is meant."""
        return (
            (self.since is None or letter.at >= self.since)
            and (not self.places or letter.place in self.places)
            and self._has_reason(letter.error)
        )

    def _has_reason(self, error: str) -> bool:
        if self.reason is None:
            return True
        if self.reason in CLASSES:
            return class_of(error) == self.reason
        return self.reason.lower() in error.lower()


EVERY_LETTER = Selection()


@dataclass
class ReasonCount:
    """The letters of one reason: how many there are, how many of them were replayed, and when the newest came."""

    reason: str
    letters: int = 0
    replayed: int = 0
    newest: datetime | None = None

    @property
    def class_name(self) -> str:
        """The class of the reason."""
        return class_of(self.reason)


@dataclass(frozen=True)
class LetterList:
    """Counts over all letters that were selected, the most frequent reason first, and the newest letters."""

    reasons: tuple[ReasonCount, ...]
    newest: tuple[DeadLetter, ...]
    replayed: Set[Place] = field(default=frozenset())

    @property
    def letters(self) -> int:
        """All letters that were selected."""
        return sum(one.letters for one in self.reasons)

    def classes(self) -> Mapping[str, int]:
        """Return class to number of letters, without empty ones."""
        counts = {name: sum(one.letters for one in self.reasons if one.class_name == name) for name in CLASSES}
        return {name: count for name, count in counts.items() if count}


def list_letters(
    letters: Iterable[DeadLetter], selection: Selection, limit: int, replayed: Set[Place] = frozenset()
) -> LetterList:
    """Count the selected letters by reason and keep the newest `limit` of them, newest first."""
    reasons: dict[str, ReasonCount] = {}
    newest: list[tuple[datetime, Place, DeadLetter]] = []
    for letter in letters:
        if not selection.takes(letter):
            continue
        one = reasons.setdefault(letter.error, ReasonCount(letter.error))
        one.letters += 1
        one.replayed += letter.place in replayed
        one.newest = max(one.newest or letter.at, letter.at)
        heapq.heappush(newest, (letter.at, letter.place, letter))
        if len(newest) > limit:
            heapq.heappop(newest)
    ordered = sorted(reasons.values(), key=lambda one: (-one.letters, one.reason))
    return LetterList(tuple(ordered), tuple(letter for _, _, letter in sorted(newest, reverse=True)), replayed)
