"""Reading of `NAME=value` files: profiles, `.env`, `stack.env`. Values are taken as they are, never expanded."""

from __future__ import annotations

import re
from pathlib import Path

from orchestration.errors import ConfigError

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_COMMENT = re.compile(r"(?:^|\s)#.*$")


def parse_env(text: str, where: str = "settings") -> dict[str, str]:
    """Return the names and values of an env file.

    Blank lines and lines that start with `#` are skipped; the first `=` splits; both sides are stripped; a `#` after a
    blank starts a comment. A value in matching quotes is taken between them, so that outer blanks and ` #`
    survive. The last of two equal names wins, as in a shell. `where` names the file in errors.

    Raises:
        ConfigError: a line without `=`, a name that is not one, an unclosed quote, text after a closing quote.
    """
    values: dict[str, str] = {}
    for number, raw in enumerate(text.removeprefix("\ufeff").splitlines(), start=1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        name, equals, value = line.partition("=")
        name = name.strip().removeprefix("export ").strip()
        if not equals or not _NAME.fullmatch(name):
            # The line may hold a secret: only its number is shown.
            raise ConfigError(f"{where}, line {number}: not of the form NAME=value", hint="comment it out with #")
        values[name] = _unquote(value.strip(), f"{where}, line {number}: {name}")
    return values


def _unquote(value: str, where: str) -> str:
    if value[:1] not in {"'", '"'}:
        return _COMMENT.sub("", value).strip()
    quote, end = value[0], value.find(value[0], 1)
    if end < 0:
        raise ConfigError(
            f"{where} opens a quote {quote} and does not close it", hint="quote the whole value or none of it"
        )
    rest = value[end + 1 :]
    if rest.strip() and not _COMMENT.match(rest):
        raise ConfigError(
            f"{where} has text after its closing quote {quote}", hint="use the other kind of quote outside"
        )
    return value[1:end]


def read_env_file(path: Path) -> dict[str, str]:
    """Return the values of `path`; a missing file gives an empty set.

    Raises:
        ConfigError: it cannot be read, is not UTF-8, or has a malformed line.
    """
    try:
        return parse_env(path.read_text(encoding="utf-8"), str(path))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 text (byte {error.start})", hint="save it as UTF-8") from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None
