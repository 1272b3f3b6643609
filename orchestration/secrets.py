"""References to secrets and the places where their values are: a variable, a mounted file, a secret manager.

A reference is a name. `polaris-client-id` is looked up as the variable POLARIS_CLIENT_ID, then under the mount root
(`/var/run/secrets/polaris-client-id`: a file, a folder with a file `value` as Kubernetes mounts a Secret, or a folder
with exactly one file), then with every manager that a package registers.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from pathlib import Path
from typing import cast

from pydantic import SecretStr

from orchestration.errors import ConfigError, SecretReferenceError
from orchestration.redaction import remember_secrets

MOUNT_ROOT = Path("/var/run/secrets")
MANAGERS = "millrace.secret_managers"
"""Entry-point group of managers: callables that return the value of a name, or None if they do not know it."""
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,252}")
OWNER = "the platform engineer, who owns platform/platform.yaml"

PAIR = ("aws_access_key_id", "aws_secret_access_key")
"""Settings that one reference to an object store's credentials fills."""

_KEY, _SECRET = "access_key_id", "secret_access_key"
Manager = Callable[[str], str | None]


def _no_environ() -> Mapping[str, str]:
    return {}


@dataclass(frozen=True)
class SecretPlaces:
    """Where values are looked for.

    Attributes:
        environ: the variables; `load_settings` puts the process environment here.
        mount_root: folder of mounted secrets.
        managers: by name; None: those that installed packages register, imported when they are first needed.
    """

    environ: Mapping[str, str] = field(default_factory=_no_environ, repr=False)
    mount_root: Path = MOUNT_ROOT
    managers: Mapping[str, Manager] | None = None


@dataclass(frozen=True)
class SecretRef:
    """A reference and where it stands.

    Attributes:
        wanted_by: where it stands, such as `platform/platform.yaml:12: catalogs.default.credentials.client_id`.
        environment: of the platform file; empty: none was chosen.
    """

    name: str
    wanted_by: str = ""
    environment: str = ""


def variable_of(name: str) -> str:
    """Return the variable that a reference is looked up in first."""
    return name.upper().replace("-", "_")


def find_secret(name: str, places: SecretPlaces) -> SecretStr | None:
    """Return the value of a reference, or None if no place has it. An empty variable or file counts as none.

    Raises:
        ConfigError: `name` is no name; a place holds something that is not one value; a file cannot be read.
    """
    check_name(name)
    value = (
        places.environ.get(variable_of(name))
        or _mounted(places.mount_root / name, name)
        or next((found for _, manager in _managers(places) if (found := manager(name))), None)
    )
    if not value:
        return None
    remember_secrets([value])
    return SecretStr(value)


def resolve_secret(
    name: str, places: SecretPlaces, *, wanted_by: str = "", environment: str = "", owner: str = OWNER
) -> SecretStr:
    """Return the value of a reference. From here on no message of this process can show it.

    Args:
        wanted_by: where the reference stands, for the error.
        environment: of the platform file, for the error.

    Raises:
        SecretReferenceError: no place has it.
        ConfigError: as `find_secret`.
    """
    value = find_secret(name, places)
    if value is None:
        raise unresolved([SecretRef(name, wanted_by, environment)], places, owner)
    return value


def find_pair(name: str, places: SecretPlaces) -> tuple[str, SecretStr] | None:
    """Return access key and secret key of a reference to an object store's credentials, or None.

    A folder or JSON object with `access_key_id` and `secret_access_key`, or one text `key:secret`.

    Raises:
        ConfigError: the value is no pair, or as `find_secret`.
    """
    folder = places.mount_root / check_name(name)
    if not places.environ.get(variable_of(name)) and (folder / _KEY).is_file() and (folder / _SECRET).is_file():
        key, secret = _read(folder / _KEY, name), _read(folder / _SECRET, name)
    elif (value := find_secret(name, places)) is None:
        return None
    else:
        key, secret = _split_pair(value.get_secret_value(), name)
    if not key or not secret:
        raise _no_pair(name)
    remember_secrets([secret])
    return key, SecretStr(secret)


def secret_for(field: str, name: str, places: SecretPlaces) -> str | SecretStr | None:
    """Return what a reference gives a setting: a half of a pair for the two keys of an object store; None: nothing.

    Raises:
        ConfigError: as `find_secret` and `find_pair`.
    """
    if field not in PAIR:
        value = find_secret(name, places)
        return value if value is None or "secret" in field else value.get_secret_value()
    pair = find_pair(name, places)
    return None if pair is None else pair[PAIR.index(field)]


def unresolved(refs: Sequence[SecretRef], places: SecretPlaces, owner: str = OWNER) -> SecretReferenceError:
    """Return the one error that names every reference without a value, each with all places looked at."""
    managers = [name for name, _ in _managers(places)] if refs else []
    lines: list[str] = []
    for ref in refs:
        where = f" of {ref.wanted_by}" if ref.wanted_by else ""
        environment = f" (environment {ref.environment})" if ref.environment else ""
        looked = [f"variable {variable_of(ref.name)}", f"{places.mount_root / ref.name}"]
        looked += [f"manager {name}" for name in managers]
        lines.append(f"the reference {ref.name!r}{where}{environment} has no value; looked at: {', '.join(looked)}")
    first = refs[0].name if refs else "NAME"
    return SecretReferenceError(
        "\n".join(lines),
        hint=f"export {variable_of(first)}, or mount a file at {places.mount_root / first}; "
        f"what the name stands for is known to {owner}",
        context={"references": ", ".join(ref.name for ref in refs)},
    )


def check_name(name: str) -> str:
    """Return `name` if it can be a reference.

    Raises:
        ConfigError: it cannot.
    """
    if not NAME.fullmatch(name):
        raise ConfigError(
            "a secret_ref is not a name: the first character a letter or digit, then letters, digits, _ and -, "
            "at most 253",
            hint="name the secret there, never its value",
        )
    return name


def _managers(places: SecretPlaces) -> Iterator[tuple[str, Manager]]:
    if places.managers is not None:
        yield from places.managers.items()
        return
    for point in sorted(entry_points(group=MANAGERS), key=lambda one: one.name):
        yield point.name, point.load()


def _mounted(path: Path, name: str) -> str | None:
    """Return the value at `path`. Hidden names are none: Kubernetes keeps entries of its own (`..data`) there."""
    if not path.is_dir():
        return _read(path, name) if path.is_file() else None
    if (path / "value").is_file():
        return _read(path / "value", name)
    files = sorted(one for one in path.iterdir() if one.is_file() and not one.name.startswith("."))
    if len(files) > 1:
        raise ConfigError(
            f"the reference {name!r} is ambiguous: {path} holds {', '.join(one.name for one in files)}",
            hint="keep one file there, or name the one that counts `value`",
            context={"code": SecretReferenceError.default_code},
        )
    return _read(files[0], name) if files else None


def _read(path: Path, name: str) -> str | None:
    try:
        return path.read_text(encoding="utf-8").rstrip("\r\n") or None
    except UnicodeDecodeError:
        raise ConfigError(f"the reference {name!r}: {path} is not UTF-8 text", hint="store the value as text") from None
    except OSError as error:
        raise ConfigError(
            f"the reference {name!r}: {path} cannot be read: {error.strerror}",
            hint="give this user the right to read it",
        ) from None


def _split_pair(value: str, name: str) -> tuple[str, str]:
    if value.lstrip().startswith("{"):
        try:
            found = cast("Mapping[str, object]", json.loads(value))
            return str(found[_KEY]), str(found[_SECRET])
        except (ValueError, KeyError):
            raise _no_pair(name) from None
    key, _, secret = value.partition(":")
    return key, secret


def _no_pair(name: str) -> ConfigError:
    return ConfigError(
        f"the reference {name!r} is no pair of access key and secret key",
        hint=f"a folder or JSON object with {_KEY} and {_SECRET}, or the text key:secret",
    )
