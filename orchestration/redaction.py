"""Removal of secrets from text that leaves the process; when in doubt it removes more.

Key names follow the SQL engine's rule: anything that looks like a password, secret, token, credential, access key or
SASL/JAAS setting is masked, whatever the syntax around it (SQL option, JSON, YAML, environment, URL).
"""

from __future__ import annotations

import re
from collections.abc import Iterable

MASK = "******"

_SENSITIVE = r"[\w.\-]*(?:password|passwd|secret|token|credential|jaas|sasl|access[-_.]?key|account[-_.]?key|api[-_.]?key)[\w.\-]*"
_KEY_NAME = re.compile(rf"^{_SENSITIVE}$", re.IGNORECASE)
# 'key' = 'value' with SQL's doubled quotes, "key": "value" of JSON, key=value and key: value of files.
_SQL_OPTION = re.compile(rf"('{_SENSITIVE}'\s*=\s*)'(?:[^']|'')*'", re.IGNORECASE)
_JSON_FIELD = re.compile(rf'("{_SENSITIVE}"\s*:\s*)"(?:[^"\\]|\\.)*"', re.IGNORECASE)
_SQL_KEYWORD = re.compile(rf"(\b{_SENSITIVE}\s+)'(?:[^']|'')*'", re.IGNORECASE)
_ASSIGNMENT = re.compile(rf"(\b{_SENSITIVE}\s*[=:]\s*)(?!\*{{6}})(?:\"[^\"]*\"|'[^']*'|[^\s,;)}}\]]+)", re.IGNORECASE)
_URL_USER = re.compile(r"(\b[a-z][a-z0-9+.\-]*://)[^\s/@]+@", re.IGNORECASE)
_BEARER = re.compile(r"(\bBearer\s+)[\w.~+/=\-]+", re.IGNORECASE)


def is_sensitive_key(key: str) -> bool:
    """Whether a setting, option or header of this name holds a secret."""
    return _KEY_NAME.match(key) is not None


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """Return `text` without secrets: `secrets` verbatim, and every value under a sensitive key."""
    for secret in secrets:
        if secret:
            text = text.replace(secret, MASK)
    text = _SQL_OPTION.sub(rf"\1'{MASK}'", text)
    text = _JSON_FIELD.sub(rf'\1"{MASK}"', text)
    text = _SQL_KEYWORD.sub(rf"\1'{MASK}'", text)
    text = _ASSIGNMENT.sub(rf"\1{MASK}", text)
    text = _URL_USER.sub(rf"\1{MASK}@", text)
    return _BEARER.sub(rf"\1{MASK}", text)
