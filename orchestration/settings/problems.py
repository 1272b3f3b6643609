"""What can be wrong with a setting, as data; and pydantic's errors in our words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from orchestration.errors import ConfigError
from orchestration.redaction import MASK, is_sensitive_key
from orchestration.settings import names


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong: the fields it comes from, what, and what to do."""

    fields: tuple[str, ...]
    text: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.text}: {self.remedy}"


class SettingsError(ConfigError):
    """Settings that are refused.

    Attributes:
        problems: all of them.
        values: every setting, masked, refused values included; what `config show` prints. None: not known.
    """

    def __init__(
        self,
        problems: Sequence[Problem],
        values: Mapping[str, Any] | None = None,
        sources: Mapping[str, str] | None = None,
    ) -> None:
        self.problems, self.values, self.sources = tuple(problems), values, dict(sources or {})
        super().__init__(
            "\n".join(self._line(problem) for problem in problems),
            hint="`millrace config show` prints every value with its source",
            context={names.env_name(problem.fields[0]): problem.text for problem in problems},
        )

    def _line(self, problem: Problem) -> str:
        sources = sorted({self.sources[field] for field in problem.fields if field in self.sources} - {"default"})
        return f"{problem} [{', '.join(sources)}]" if sources else str(problem)

    def with_sources(self, sources: Mapping[str, str], more: Sequence[Problem] = ()) -> SettingsError:
        """Return the error with the source of each refused value, and with `more` problems before its own."""
        return SettingsError((*more, *self.problems), self.values, sources)


_MESSAGES = {
    "int_parsing": "write a whole number",
    "int_from_float": "write a whole number",
    "float_parsing": "write a number",
    "finite_number": "write a finite number",
    "bool_parsing": "write true or false",
    "bool_type": "write true or false",
    "date_parsing": "write a date such as 2024-01-31",
    "date_from_datetime_parsing": "write a date such as 2024-01-31",
    "date_from_datetime_inexact": "write a date without a time, such as 2024-01-31",
    "greater_than_equal": "at least {ge}",
    "less_than_equal": "at most {le}",
    "greater_than": "above {gt}",
}
_PATTERNS = {
    "instance": "lower-case letters, digits, dash and underscore, at most 32, the first a letter or digit",
    "dataset": "lower-case letters, digits and underscore, the first a letter: a folder in platform/datasets",
}


def of_fields(error: ValidationError, values: Mapping[str, Any]) -> list[Problem]:
    """Return pydantic's field errors as problems; a default that could not be derived is only a consequence."""
    found: list[Problem] = []
    for item in error.errors(include_url=False, include_input=False, include_context=True):
        field = str(item["loc"][0]) if item["loc"] else ""
        if item["type"] == "default_factory_not_called":
            continue
        value = values.get(field)
        shown = f"'{MASK}'" if is_sensitive_key(field) else names.shown(value)
        found.append(Problem((field,), f"{names.env_name(field)}={shown} is refused", _remedy(field, value, item)))
    return found


def _remedy(field: str, value: object, item: Mapping[str, Any]) -> str:
    text = str(value)
    if (field, text) in names.OLD_VALUES:
        return f"it is now spelled {names.OLD_VALUES[field, text]}"
    context: dict[str, Any] = item.get("ctx", {})
    if item["type"] == "literal_error":
        known = str(context["expected"]).replace("'", "").replace(" or ", ", ").split(", ")
        meant = names.closest(text.lower(), known)
        return f"one of {', '.join(known)}" + (f"; did you mean {meant}?" if meant else "")
    if item["type"] == "string_pattern_mismatch" and field in _PATTERNS:
        return _PATTERNS[field]
    if item["type"] in _MESSAGES:
        return _MESSAGES[item["type"]].format(**context)
    return str(context.get("error", item["msg"]))
