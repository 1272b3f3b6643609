"""Folders of file sinks: each under a configured root, whatever a query asks for."""

from __future__ import annotations

import posixpath
import re

from orchestration.errors import ConfigError

_SCHEME = re.compile(r"[a-z][a-z0-9+.\-]*://", re.IGNORECASE)


def sink_path(root: str, table: str, asked: str | None) -> str:
    """Return the address of a sink's folder, with scheme.

    Args:
        root: folder or address that all sinks must lie under.
        asked: the query's own path, relative to the root or below it; None: a folder called like the table.

    Raises:
        ConfigError: the path is not below the root, or one of them is not whole.
    """
    scheme, base = _split(root, "the root of file sinks")
    if not base.startswith("/") and scheme == "file://":
        raise ConfigError(f"the root of file sinks is not a whole path: {root}", hint="start it with /")
    if asked is None:
        path = f"{base}/{table}"
    elif _SCHEME.match(asked) or asked.startswith("/"):
        asked_scheme, path = _split(asked, "the path of a sink")
        if asked_scheme != scheme:
            raise _outside(asked, root)
    else:
        path = f"{base}/{asked}"
    # Percent signs would be read as an escape by one program and as they are by the next.
    if "%" in path or ".." in path.split("/"):
        raise ConfigError(f"the path of a sink holds .. or %: {asked}", hint="write the plain path")
    path = posixpath.normpath(path)
    if not path.startswith(f"{posixpath.normpath(base)}/"):
        raise _outside(asked or path, root)
    return scheme + path


def _split(address: str, what: str) -> tuple[str, str]:
    match = _SCHEME.match(address)
    scheme, path = (match[0], address[match.end() :]) if match else ("file://", address)
    if not path.strip("/"):
        raise ConfigError(f"{what} names no folder: {address}")
    return scheme.lower(), path


def _outside(path: str, root: str) -> ConfigError:
    return ConfigError(
        f"the path of a sink is not below the root of file sinks: {path}",
        hint=f"give a path relative to {root}, or change `root` of the profile",
        context={"code": "config_invalid", "root": root},
    )
