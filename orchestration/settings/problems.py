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


def of_fields(error: ValidationError, values: Mapping[str, Any]) -> list[Problem]:
    """Return pydantic's field errors as problems. A default that could not be derived is a consequence, not a problem."""
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
    return str(item["msg"])[:1].lower() + str(item["msg"])[1:]


def as_error(found: Sequence[Problem]) -> ConfigError:
    """Return one error that lists all problems, one a line."""
    return ConfigError(
        "\n".join(str(problem) for problem in found),
        hint="`millrace config show` prints every value with its source",
        context={names.env_name(problem.fields[0]): problem.text for problem in found},
    )
