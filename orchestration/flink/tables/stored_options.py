"""Options of a definition that is stored: text, and never a secret in clear."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo

from orchestration.errors import StatementError
from orchestration.flink.text.references import is_reference, needs_reference
from orchestration.flink.text.tokens import significant, string_value, tokenize
from orchestration.redaction import redact

FROM_STORE = {"from": "registry"}
"""Validation context of a definition that was accepted before: what looks like a secret is not asked again, because
the answer depends on what the process has seen (`remember_secrets`), and a record must stay readable."""


def _as_text(value: object) -> object:
    match value:
        case bool():
            return str(value).lower()
        case int() | float():
            return str(value)
        case None:
            raise ValueError("a value is missing; leave the key out to use the default")
        case _:
            return value


OptionValue = Annotated[str, BeforeValidator(_as_text), Field(max_length=10_000)]
"""YAML's numbers and booleans become the text that Flink reads."""


def _secret_options(options: Mapping[str, str]) -> Iterator[str]:
    for key, value in options.items():
        if not is_reference(value) and (needs_reference(key) or redact(value) != value):
            yield key


def options_in(sql: str) -> dict[str, str]:
    """Return the `'key' = 'value'` pairs of a statement, from WITH clauses, SET and OPTIONS hints.

    A comparison of two literals looks the same; it is no loss to take it for an option.
    """
    try:
        tokens = significant(tokenize(sql))
    except StatementError:
        return {}  # the validation of the SQL says where it is broken
    found: dict[str, str] = {}
    for token in tokens:
        if token.kind == "hint":
            found |= options_in(token.text.removeprefix("/*+").removesuffix("*/"))
    for key, equals, value in zip(tokens, tokens[1:], tokens[2:], strict=False):
        if (key.kind, equals.text, value.kind) == ("string", "=", "string"):
            found[string_value(key) or ""] = string_value(value) or ""
    return found


def refuse_secrets(options: Mapping[str, str], info: ValidationInfo) -> None:
    """Refuse options that hold a secret in clear; for validators of pydantic.

    Raises:
        ValueError: names the first of them, and the remedy.
    """
    if info.context == FROM_STORE:
        return
    names = sorted(_secret_options(options))
    if names:
        raise ValueError(
            f"the value of option {names[0]!r} must not be stored; write env:NAME or file:/path in its place, which is"
            " read when it is sent"
        )


class StoredModel(BaseModel):
    """Base of what is stored: frozen, no unknown fields, no values in errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, str_strip_whitespace=True)
