"""Removal of secrets from text that leaves the process; when in doubt it removes more.

Key names follow the SQL engine's rule: anything that looks like a password, secret, token, credential, access key or
SASL/JAAS setting is masked, whatever the syntax around it (SQL option, JSON, YAML, Python, XML, environment, URL,
command line). Text is often cut before it gets here, so a value without its closing quote is masked to the end.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterable
from urllib.parse import quote, quote_plus

MASK = "******"

_LEAST_REMEMBERED = 6
"""Shorter values would take ordinary words out of every message; under their keys they are masked all the same."""
_WORDS = (
    r"password|passwd|passphrase|pwd|secret|token|credential|jaas|sasl|signature|authorization"
    r"|connection[-_.]?string|(?:access|account|api|private|shared|storage)[-_.]?key"
)
# One token whose look-ahead finds a word: linear, where a word between two `*` would be cubic on long runs.
_KEY = (
    rf"(?<![\w.\-])(?:(?=[\w.\-]*?(?:{_WORDS}))(?>[\w.\-]*\w)"
    r"|(?:access|account|api|private|shared|storage|connection)[ ](?:key|string)(?:[ ]id)?)"
)
_KEY_NAME = re.compile(rf"\s*{_KEY}\W*", re.IGNORECASE)
_DOUBLE = r'"(?:[^"\\]|\\[\s\S]|\\\Z|"")*(?:"|\Z)'
_SINGLE = r"'(?:[^'\\]|\\[\s\S]|\\\Z|'')*(?:'|\Z)"
_QUOTED = rf"(?:{_DOUBLE}|{_SINGLE})"
# A flat object or list; a nested one takes the rest of the text with it.
_STRUCTURE = r"(?:\{[^{}]*\}|\[[^\[\]]*\]|[\[{][\s\S]*)"
_NOT_MASKED = r"(?!\\?['\"]?\*{6})"
_SCHEME = r"(?<![a-z0-9+.\-])(?!(?:abfs|wasb)s?:)([a-z][a-z0-9+.\-]{0,40}://)"
_LINE_START = r"^([ \t]*(?:-[ \t]+|export[ \t]+|set[ \t]+|\+[ \t]*)?"
Replacement = str | Callable[[re.Match[str]], str]


def _rule(pattern: str, replacement: Replacement, flags: int = re.IGNORECASE) -> tuple[re.Pattern[str], Replacement]:
    return re.compile(pattern, flags), replacement


def _like_key(match: re.Match[str]) -> str:
    """Keep JSON valid: the mask is quoted as its key is."""
    mark = match["q"].replace("`", "'")
    return f"{match[1]}{mark}{MASK}{mark}"


_RULES = (
    _rule(r"-----BEGIN [A-Z ]*-----[\s\S]*?(?:-----END [A-Z ]*-----|\Z)", MASK),
    # JSON inside a JSON string: \"password\": \"value\". The value ends at a quote escaped as often as its first.
    _rule(
        rf'((?<!\\)(?P<esc>\\+)"{_KEY}(?P=esc)"\s*:\s*(?P=esc)"){_NOT_MASKED}[\s\S]*?((?<!\\)(?P=esc)"|\Z)',
        rf"\1{MASK}\3",
    ),
    # 'key' = 'value', "key": "value", ('key', 'value'), `key` = 'value'; values in quotes, structures, bare words
    _rule(
        rf"((?P<q>['\"`])\s*{_KEY}\W??\s*(?P=q)\s*[:=,]>?\s*){_NOT_MASKED}[a-z]?(?:{_QUOTED}|{_STRUCTURE}|[^\s,)}}\]]+)",
        _like_key,
    ),
    # <password>value</password>; Hadoop's <name>key</name><value>value</value>
    _rule(rf"(<({_KEY})(?:\s[^<>]*)?>){_NOT_MASKED}[\s\S]*?(</\2>)", rf"\1{MASK}\3"),
    _rule(rf"(<name>\s*{_KEY}\s*</name>\s*<value>){_NOT_MASKED}[\s\S]*?(</value>|\Z)", rf"\1{MASK}\2"),
    # YAML: `password: |`, or `secrets:` over a list or mapping, and the lines under it that are further in
    _rule(
        rf"^(?P<in>[ \t]*)((?:-[ \t]+)?{_KEY}[ \t]*:)[ \t]*(?:[|>][-+\d]*)?[ \t]*"
        rf"(?:\n(?:(?P=in)[ \t]+(?![ \t]|\*{{6}})[^\n]+|(?P=in)-[ \t][^\n]*))+",
        rf"\g<in>\2 {MASK}",
        re.IGNORECASE | re.MULTILINE,
    ),
    # SQL keyword and call: SECRET 'value', Secret('value'). Parsers say "unexpected token 'X'", which is none.
    _rule(rf"(?<!unexpected )({_KEY}(?:\s+|\s*\(\s*)){_NOT_MASKED}{_QUOTED}", rf"\1'{MASK}'"),
    # A line of a file, `key=value` or `key: value`: blanks belong to the value
    _rule(
        rf"{_LINE_START}{_KEY}[ \t]*[=:][ \t]*){_NOT_MASKED}(?!['\"])\S[^\n]*",
        rf"\1{MASK}",
        re.IGNORECASE | re.MULTILINE,
    ),
    # key=value and key: value inside a line. `.../oauth/tokens: refused` names an endpoint.
    _rule(rf"(?<!oauth/)({_KEY}\s*(?:[=:]>?|->)\s*){_NOT_MASKED}(?:{_QUOTED}|\S+)", rf"\1{MASK}"),
    _rule(rf"((?=--){_KEY}[ \t]+){_NOT_MASKED}(?:{_QUOTED}|\S+)", rf"\1{MASK}"),
    _rule(rf"([?&]sig=){_NOT_MASKED}[^&\s'\"]+", rf"\1{MASK}"),
    # user:password@host; the password may hold / and @. In abfss:// the part before @ is a container.
    _rule(rf"{_SCHEME}[^\s/@:'\"]*:[^\s'\"]{{0,500}}@", rf"\1{MASK}@"),
    _rule(rf"{_SCHEME}[^\s/@'\"]+@", rf"\1{MASK}@"),
    _rule(rf"(\bBearer\s+){_NOT_MASKED}\S+", rf"\1{MASK}"),
    _rule(rf"(\bBasic\s+){_NOT_MASKED}[\w.~+/=\-]{{8,}}", rf"\1{MASK}"),
    # Forms that say by themselves what they are: a JSON web token, an AWS access key id
    _rule(r"\beyJ[\w\-]{8,}\.[\w\-]+(?:\.[\w\-]*)?", MASK, 0),
    _rule(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b", MASK, 0),
)

_remembered: set[str] = set()


def is_sensitive_key(key: str) -> bool:
    """Whether a setting, option or header of this name holds a secret."""
    return _KEY_NAME.fullmatch(key) is not None


def remember_secrets(secrets: Iterable[str]) -> None:
    """Have every later `redact` of this process remove these values wherever they stand."""
    _remembered.update(secret for secret in secrets if len(secret) >= _LEAST_REMEMBERED)


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """Return `text` without secrets: `secrets` and remembered ones verbatim, and every value under a sensitive key.

    Verbatim means also as SQL, JSON, a URL or base64 would write them. Redacting twice changes nothing more.
    """
    spellings = {spelling for secret in {*secrets, *_remembered} if secret for spelling in _spellings(secret)}
    # Longest first: a secret that is part of another one must not leave the rest of it.
    for spelling in sorted(spellings, key=len, reverse=True):
        text = text.replace(spelling, MASK)
    for pattern, replacement in _RULES:
        text = pattern.sub(replacement, text)
    return text


def _spellings(secret: str) -> set[str]:
    encoded = base64.b64encode(secret.encode()).decode()
    return {
        secret,
        secret.replace("'", "''"),
        secret.replace('"', '""'),
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        repr(secret)[1:-1],
        quote(secret, safe=""),
        quote(secret),
        quote_plus(secret),
        *({encoded} if len(secret) >= _LEAST_REMEMBERED else ()),
    }
