"""Values of connector options that are not written down: `env:NAME` and `file:/path` stand for a secret.

A reference stays one in every plan, record and log; `resolve_ddl` puts the value in just before a statement is sent,
and has it removed from all later messages.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from orchestration.errors import ConfigError
from orchestration.flink.text.tokens import Token, string_value, tokenize
from orchestration.redaction import MASK, is_sensitive_key, redact, remember_secrets
from orchestration.sql import quote_literal

_REFERENCE = re.compile(r"env:(?P<name>[A-Za-z_][A-Za-z0-9_]*)|file:(?P<path>/(?!/).*)")
_NO_SECRET = re.compile(r"sasl\.mechanism$|\.class$|\.service\.name$|\.location$|\.url$|\.type$")
"""Ends of names that are about authentication and hold no secret."""


def is_reference(value: str) -> bool:
    """Whether a value says where the value is: `env:NAME` or `file:/path`."""
    return _REFERENCE.fullmatch(value) is not None


def needs_reference(option: str) -> bool:
    """Whether the value of an option must not be written down."""
    return is_sensitive_key(option) and _NO_SECRET.search(option) is None


def check_value(option: str, value: str, where: str) -> None:
    """Refuse what must not stand in a WITH clause.

    Raises:
        ConfigError: a newline or another control character; a secret in clear.
    """
    if any(ord(char) < 32 for char in value):
        raise ConfigError(f"{where}: option {option} holds a newline or another control character")
    if needs_reference(option) and not is_reference(value):
        raise ConfigError(
            f"{where}: option {option} holds a secret in clear",
            hint="write env:NAME or file:/path, so that it is read only when it is sent",
        )


def resolve_reference(reference: str, environ: Mapping[str, str] | None = None) -> str:
    """Return the value that a reference stands for; it is remembered for redaction.

    Raises:
        ConfigError: the variable is not set, the file cannot be read, or the value is empty or of several lines.
    """
    match = _REFERENCE.fullmatch(reference)
    if match is None:
        raise ConfigError(f"{reference!r} is no reference", hint="write env:NAME or file:/path")
    if match["name"]:
        value = (os.environ if environ is None else environ).get(match["name"], "")
    else:
        try:
            value = Path(match["path"]).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{reference} cannot be read: {type(error).__name__}") from error
    if not value:
        raise ConfigError(f"{reference} is empty or not set", hint="set it for the process that sends the statement")
    remember_secrets([value])
    if any(ord(char) < 32 for char in value):
        raise ConfigError(f"the value of {reference} holds a newline or another control character")
    return value


def resolve_ddl(ddl: str, environ: Mapping[str, str] | None = None) -> str:
    """Return the statement as it is sent: references that are option values replaced by what they stand for.

    Raises:
        ConfigError: as `resolve_reference`.
    """
    parts: list[str] = []
    for token, option in _with_options(ddl):
        value = string_value(token)
        if option is not None and value is not None and is_reference(value):
            parts.append(quote_literal(resolve_reference(value, environ)))
        else:
            parts.append(token.text)
    return "".join(parts)


def mask_secrets(ddl: str) -> str:
    """Return the statement as it is stored: without secrets, and good for `resolve_ddl`, since references stay."""
    parts: list[str] = []
    for token, option in _with_options(ddl):
        value = string_value(token)
        if value is None:
            parts.append(redact(token.text))
        elif option is not None and is_reference(value):
            parts.append(token.text)
        else:
            masked = MASK if option is not None and needs_reference(option) else redact(value)
            # Token by token: a mask must not take the quote after it along.
            parts.append("'" + masked.replace("'", "''") + "'")
    return "".join(parts)


def _with_options(sql: str) -> Iterator[tuple[Token, str | None]]:
    """Yield each token, and with the value of an option the option's name."""
    before: list[Token] = []
    for token in tokenize(sql):
        is_value = token.kind == "string" and len(before) > 1 and before[-1].text == "="
        yield token, string_value(before[-2]) if is_value else None
        if not token.is_blank:
            before = [*before[-1:], token]
