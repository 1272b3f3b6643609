"""YAML with the line of every key, so that a fault can name its place."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar, cast

import yaml
from pydantic import BaseModel, ValidationError

from orchestration.errors import ConfigError
from orchestration.platform_config.faults import Fault, TierError, closest, listed

Path_ = tuple[str | int, ...]
Model = TypeVar("Model", bound=BaseModel)

_TIMESTAMP = "tag:yaml.org,2002:timestamp"
_MESSAGES = {
    "missing": ("it is required and not given", "add it"),
    "string_type": ("it is not text", "write text, in quotes if it looks like a number"),
    "int_type": ("it is not a whole number", "write a whole number"),
    "int_parsing": ("it is not a whole number", "write a whole number"),
    "bool_type": ("it is neither true nor false", "write true or false"),
    "bool_parsing": ("it is neither true nor false", "write true or false"),
    "list_type": ("it is not a list", "write a list, one `- item` a line"),
    "tuple_type": ("it is not a list", "write a list, one `- item` a line"),
    "dict_type": ("it is not a mapping", "write `key: value` lines below it"),
    "model_type": ("it is not a mapping", "write `key: value` lines below it"),
    "model_attributes_type": ("it is not a mapping", "write `key: value` lines below it"),
}


@dataclass(frozen=True)
class Document:
    """A read file.

    Attributes:
        title: how messages name it: its path from the checkout.
        data: its content; every key is text.
        lines: file and line of each key, by path.
        sha256: of its bytes.
    """

    title: str
    data: Mapping[str, Any]
    lines: Mapping[Path_, str]
    sha256: str

    def where(self, path: Path_) -> str:
        """Return file and line of a key, or of the nearest key above it."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, self.title)

    def fault(self, path: Path_, text: str, remedy: str) -> Fault:
        """Return a fault at a key."""
        return Fault(self.where(path), dotted(path), text, remedy)

    def overlaid(self, key: Path_) -> Document:
        """Return the document with the mapping at `key` laid over the rest, and `key`'s first part removed.

        Mappings are merged, anything else replaces what was there, and null removes it.
        """
        data = {name: value for name, value in self.data.items() if name != key[0]}
        lines = {path: place for path, place in self.lines.items() if path[:1] != key[:1]}
        over: Any = self.data
        for part in key:
            over = over[part]
        _lay_over(data, cast("Mapping[str, Any]", over or {}))
        lines |= {
            path[len(key) :]: place for path, place in self.lines.items() if path[: len(key)] == key and path != key
        }
        return Document(self.title, data, lines, self.sha256)

    def validated(self, model: type[Model], data: Mapping[str, Any] | None = None) -> Model:
        """Return the content as a model.

        Raises:
            TierError: every fault, each with its line.
        """
        try:
            return model.model_validate(self.data if data is None else data)
        except ValidationError as error:
            raise TierError(self._faults(error, model)) from None

    def _faults(self, error: ValidationError, model: type[BaseModel]) -> list[Fault]:
        found: dict[Fault, None] = {}
        for item in error.errors(include_url=False, include_input=False):
            path = self._path(item["loc"], keep_last=item["type"] in {"missing", "extra_forbidden"})
            text, remedy = _words(cast("Mapping[str, Any]", item), model, item["loc"])
            found[self.fault(path, text, remedy)] = None
        return list(found)

    def _path(self, loc: Path_, *, keep_last: bool) -> Path_:
        """Return a location without the parts that pydantic adds for the members of a union."""
        path: list[str | int] = []
        here: Any = self.data
        for index, part in enumerate(loc):
            if isinstance(here, Mapping) and part in here:
                here = cast("Mapping[Any, Any]", here)[part]
            elif isinstance(here, list) and isinstance(part, int) and part < len(cast("list[Any]", here)):
                here = cast("list[Any]", here)[part]
            elif not (keep_last and index == len(loc) - 1):
                continue
            path.append(part)
        return tuple(path)


def read_document(path: Path, title: str) -> Document:
    """Read a YAML file.

    Raises:
        ConfigError: it cannot be read.
        TierError: it is empty, no YAML, no mapping, or names a key twice.
    """
    return parse_document(read_text(path, title), title)


def read_text(path: Path, title: str) -> str:
    """Return the text of a file.

    Raises:
        ConfigError: it is not there or cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"{title} does not exist ({path})", hint="docs/platform.md shows a small one") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{title} is not UTF-8 text (byte {error.start})", hint="save it as UTF-8") from None
    except OSError as error:
        raise ConfigError(f"{title} cannot be read: {error.strerror}", hint="check the path and its rights") from None


@lru_cache(maxsize=16)
def parse_document(text: str, title: str) -> Document:
    """Return the content of a YAML text; the same text is parsed once a process.

    Raises:
        TierError: it is empty, no YAML, no mapping, or names a key twice.
    """
    try:
        loader = yaml.CSafeLoader(text)
        node = loader.get_single_node()
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{title}:{mark.line + 1}" if mark else title
        # The excerpt that YAML draws is left out: the line may hold a secret.
        reason = str(getattr(error, "problem", None) or "it cannot be parsed")
        raise TierError([Fault(where, "", f"this is not YAML ({reason})", "correct the line")]) from None
    if node is None:
        raise TierError([Fault(title, "", "the file is empty", "docs/platform.md shows a small one")])
    if not isinstance(node, yaml.MappingNode):
        raise TierError([Fault(f"{title}:1", "", "this is not a mapping", "write `key: value` lines")])
    reading = _Reading(loader, title)
    data = reading.value(node, ())
    if reading.faults:
        raise TierError(reading.faults)
    return Document(title, cast("dict[str, Any]", data), reading.lines, hashlib.sha256(text.encode()).hexdigest())


class _Reading:
    """Values and lines of one node tree."""

    def __init__(self, loader: yaml.CSafeLoader, title: str) -> None:
        self.loader, self.title = loader, title
        self.lines: dict[Path_, str] = {}
        self.faults: list[Fault] = []

    def value(self, node: yaml.Node, path: Path_) -> object:
        self.lines.setdefault(path, f"{self.title}:{node.start_mark.line + 1}")
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            items = cast("list[yaml.Node]", node.value)
            return [self.value(item, (*path, index)) for index, item in enumerate(items)]
        if node.tag == _TIMESTAMP:
            return node.value
        try:
            return self.loader.construct_object(node)
        except (yaml.YAMLError, ValueError):
            self.faults.append(
                Fault(self.lines[path], dotted(path), "this value has no plain type", "write plain YAML")
            )
            return None

    def _mapping(self, node: yaml.MappingNode, path: Path_) -> dict[str, object]:
        result: dict[str, object] = {}
        for key_node, value_node in cast("list[tuple[yaml.Node, yaml.Node]]", node.value):
            key = str(key_node.value)
            place = f"{self.title}:{key_node.start_mark.line + 1}"
            if key in result:
                self.faults.append(
                    Fault(place, dotted((*path, key)), "this key stands there twice", "keep one of them")
                )
            self.lines[(*path, key)] = place
            result[key] = self.value(value_node, (*path, key))
        return result


def _lay_over(base: dict[str, Any], over: Mapping[str, Any]) -> None:
    for name, value in over.items():
        before = base.get(name)
        if value is None:
            base.pop(name, None)
        elif isinstance(before, Mapping) and isinstance(value, Mapping):
            merged = dict(cast("Mapping[str, Any]", before))
            _lay_over(merged, cast("Mapping[str, Any]", value))
            base[name] = merged
        else:
            base[name] = value


def dotted(path: Path_) -> str:
    """Return a key path as people write it: `catalogs.default.uri`, `transforms[0].path`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def _words(item: Mapping[str, Any], model: type[BaseModel], loc: Path_) -> tuple[str, str]:
    """Return what is wrong and the remedy. A ValueError of ours carries both, with ` | ` between."""
    kind, context = str(item["type"]), cast("Mapping[str, Any]", item.get("ctx", {}))
    if kind == "extra_forbidden":
        return _unknown(str(loc[-1]), model, loc)
    if kind == "missing":
        return f"{loc[-1]} is required and not given", "add it"
    if kind in _MESSAGES:
        return _MESSAGES[kind]
    if kind in {"literal_error", "enum"}:
        return "this value is not known", f"write one of {str(context['expected']).replace(chr(39), '')}"
    if kind == "value_error":
        text, _, remedy = str(context["error"]).partition(" | ")
        return text, remedy or "correct it"
    if kind.startswith("union_tag"):
        expected = str(context.get("expected_tags", "")).replace("'", "")
        return "the type is missing or not known", f"set type to one of {expected}" if expected else "set its type"
    return str(item["msg"])[:1].lower() + str(item["msg"])[1:], "correct it"


def _unknown(name: str, model: type[BaseModel], loc: Path_) -> tuple[str, str]:
    known = _keys_at(model, loc[:-1])
    meant = closest(name, known)
    remedy = f"did you mean {meant}?" if meant else f"known here: {listed(known)}" if known else "remove it"
    return f"the key {name!r} is not known", remedy


def _keys_at(model: type[BaseModel], loc: Path_) -> list[str]:
    """Return the keys that the model at a location knows; empty if it is not found."""
    schema = model.model_json_schema()
    definitions = schema.get("$defs", {})
    nodes: list[dict[str, Any]] = [schema]
    for part in loc:
        nodes = [found for node in _flat(nodes, definitions) if (found := _step(node, part)) is not None] or nodes
    return sorted({name for node in _flat(nodes, definitions) for name in node.get("properties", {})})


def _flat(nodes: list[dict[str, Any]], definitions: Mapping[str, Any]) -> list[dict[str, Any]]:
    result: list[dict[str, Any]] = []
    for node in nodes:
        if "$ref" in node:
            result += _flat([definitions[node["$ref"].rsplit("/", 1)[-1]]], definitions)
        elif "anyOf" in node or "oneOf" in node:
            result += _flat(node.get("anyOf") or node["oneOf"], definitions)
        else:
            result.append(node)
    return result


def _step(node: Mapping[str, Any], part: str | int) -> dict[str, Any] | None:
    if isinstance(part, int):
        return node.get("items")
    found = node.get("properties", {}).get(part)
    if found is None and isinstance(node.get("additionalProperties"), dict):
        found = node["additionalProperties"]
    return found
