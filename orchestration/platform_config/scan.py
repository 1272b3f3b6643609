"""The project file holds no endpoint and no secret: its text is looked at before it is parsed."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, cast

from orchestration.platform_config.document import Document, Path_
from orchestration.platform_config.faults import Fault

_OWNER = "the platform engineer names it in platform/platform.yaml; refer to the profile here"
_IN_SECRET = "put it into a secret, whose name the platform engineer writes under secret_ref in platform/platform.yaml"

_CREDENTIALS: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("a private key", re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----")),
    ("an AWS access key", re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b")),
    ("a token", re.compile(r"\beyJ[\w-]{8,}\.[\w-]+|\bgh[pousr]_[A-Za-z0-9]{20,}|\bxox[baprs]-[\w-]{10,}")),
    ("a user name or password in an address", re.compile(r"[a-z][a-z0-9+.-]*://[^\s/@'\"]+@", re.IGNORECASE)),
    (
        "a password or secret",
        re.compile(
            r"""^[ \t]*(?:-[ \t]+)?['"]?[\w.-]*(?:password|passwd|passphrase|secret|token|api[_-]?key|access[_-]?key)"""
            r"""[\w.-]*(?<!_ref)['"]?[ \t]*:[ \t]*(?![|>{\[]?[ \t]*(?:$|\#))(?!\{[ \t]*secret_ref)\S""",
            re.IGNORECASE,
        ),
    ),
)
_ARN = re.compile(r"\barn:aws[\w-]*:")
_STORE = re.compile(r"\b(?:s3a?|gs|abfss?|wasbs?|hdfs)://", re.IGNORECASE)
_URL = re.compile(r"\b[a-z][a-z0-9+.-]*://[^\s/]", re.IGNORECASE)
_HOST = re.compile(
    r"(?:localhost|\d{1,3}(?:\.\d{1,3}){3}|[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}):\d{2,5}(?:/\S*)?"
)


def scan_text(text: str, title: str) -> list[Fault]:
    """Return a fault for each line that looks like it holds a credential: its kind and line, never the value."""
    return [
        Fault(f"{title}:{number}", "", f"this line looks like {kind}", _IN_SECRET)
        for number, line in enumerate(text.splitlines(), start=1)
        for kind in _kind_of(line)
    ]


def _kind_of(line: str) -> list[str]:
    return next(([kind] for kind, pattern in _CREDENTIALS if pattern.search(line.split(" #")[0])), [])


def scan_values(document: Document) -> list[Fault]:
    """Return a fault for each value that names infrastructure: a host, an ARN, an object store."""
    found: list[Fault] = []
    for path, value in _texts(document.data, ()):
        if _ARN.search(value):
            found.append(document.fault(path, "an ARN is infrastructure", _OWNER))
        elif _STORE.search(value):
            found.append(document.fault(path, "an address in an object store is infrastructure", _OWNER))
        elif _URL.search(value) and not value.lower().startswith("file:///"):
            found.append(document.fault(path, "an endpoint is infrastructure", _OWNER))
        elif _HOST.fullmatch(value):
            found.append(document.fault(path, "a host is infrastructure", _OWNER))
    return found


def _texts(value: object, path: Path_) -> Iterator[tuple[Path_, str]]:
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, Mapping):
        for name, item in cast("Mapping[str, Any]", value).items():
            yield from _texts(item, (*path, name))
    elif isinstance(value, list):
        for index, item in enumerate(cast("list[Any]", value)):
            yield from _texts(item, (*path, index))
