"""Reads definitions of queries from YAML and SQL files.

A `.sql` file begins with its fields as YAML in line comments, between two `---` lines; the rest of it is the query:

    -- ---
    -- name: orders_per_minute
    -- sink:
    --   profile: kafka
    -- ---
    SELECT …

Line comments, and not a block comment, because nothing that YAML may hold ends them: a file path with `*/` would end a
block. So the file stays valid SQL, which every editor and SQL client takes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from orchestration.errors import ConfigError
from orchestration.flink.queries.spec import QuerySpec

_FENCE = re.compile(r"--\s*---\s*")
_EXAMPLE = "flink_sql/queries/ has commented examples; docs/sql.md lists the fields"
_REMEDIES = {
    "extra_forbidden": "there is no such field",
    "missing": "it is missing",
}


def parse_spec(raw: Mapping[str, Any], source: str = "the definition") -> QuerySpec:
    """Return a definition from its fields.

    Args:
        source: file or place that the fields come from, for the error text.

    Raises:
        ConfigError: with every problem: the field and what to write.
    """
    try:
        return QuerySpec.model_validate(raw)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, item['loc'])) or 'definition'}: {_text(item['type'], item['msg'])}"
            for item in error.errors(include_url=False, include_input=False)
            if item["type"] != "default_factory_not_called"  # a default that follows from a refused field
        )
        raise ConfigError(f"{source}: {problems}", hint=_EXAMPLE, context={"source": source}) from error


def load_spec(path: Path) -> QuerySpec:
    """Read one definition from a `.sql` file with front matter, or a `.yml` or `.yaml` file.

    The name is that of the file unless the file gives one.

    Raises:
        ConfigError: the file is missing or wrong; names the file, the field and what to write.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ConfigError(f"{path} cannot be read: {reason}", hint=_EXAMPLE) from error
    match path.suffix:
        case ".sql":
            front, query = split_front_matter(text, str(path))
            fields = _fields(front, path)
            if "query" in fields:
                raise ConfigError(f"{path}: query: it stands below the front matter", hint=_EXAMPLE)
            fields["query"] = query
        case ".yml" | ".yaml":
            fields = _fields(text, path)
        case _:
            raise ConfigError(f"{path} is neither .sql nor .yml", hint=_EXAMPLE)
    return parse_spec({"name": path.stem} | fields, str(path))


def load_specs(folder: Path) -> list[QuerySpec]:
    """Read all definitions of a folder, by file name; a folder that is not there holds none.

    Raises:
        ConfigError: a file is wrong, or two of them have the same name.
    """
    found: dict[str, Path] = {}
    specs: list[QuerySpec] = []
    for path in sorted(path for path in folder.glob("*") if path.suffix in (".sql", ".yml", ".yaml")):
        spec = load_spec(path)
        if spec.name in found:
            raise ConfigError(f"{found[spec.name]} and {path} both define query {spec.name!r}", hint="rename one")
        found[spec.name] = path
        specs.append(spec)
    return specs


def split_front_matter(text: str, source: str = "the file") -> tuple[str, str]:
    """Return the YAML of the front matter, "" if there is none, and the SQL below it.

    Raises:
        ConfigError: the front matter is not closed, or a line of it is no comment.
    """
    lines = text.removeprefix("\ufeff").splitlines()
    first = next((number for number, line in enumerate(lines) if line.strip()), len(lines))
    if first == len(lines) or not _FENCE.fullmatch(lines[first].strip()):
        return "", "\n".join(lines)
    inside: list[str] = []
    for number in range(first + 1, len(lines)):
        line = lines[number].rstrip()
        if _FENCE.fullmatch(line):
            return "\n".join(inside), "\n".join(lines[number + 1 :])
        if line and not line.startswith("--"):
            break
        inside.append(line.removeprefix("--").removeprefix(" "))
    raise ConfigError(
        f"{source}: the front matter that begins in line {first + 1} is not closed",
        hint="begin each of its lines with --, and end it with the line '-- ---'",
    )


def _fields(text: str, path: Path) -> dict[str, Any]:
    try:
        raw = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not YAML: {' '.join(str(error).split())}", hint=_EXAMPLE) from error
    if raw is not None and not isinstance(raw, dict):
        raise ConfigError(f"{path} holds no fields but a {type(raw).__name__}", hint=_EXAMPLE)
    return {str(key): value for key, value in (raw or {}).items()}


def _text(kind: str, message: str) -> str:
    return _REMEDIES.get(kind, message.removeprefix("Value error, "))
