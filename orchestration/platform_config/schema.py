"""JSON Schemas of both tiers, generated from the models."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from orchestration.platform_config.platform import Platform, PlatformFile
from orchestration.platform_config.project import Project

MILLRACE, PLATFORM = "millrace.schema.json", "platform.schema.json"


def schemas() -> dict[str, dict[str, Any]]:
    """Return each schema by its file's name."""
    project = Project.model_json_schema() | {"title": "millrace.yaml"}
    platform = PlatformFile.model_json_schema() | {"title": "platform/platform.yaml"}
    # What only holds for the whole: an environment may give the bucket that the shared part leaves out.
    platform = _without_required(platform)
    overlay = {name: value for name, value in platform["properties"].items() if name in Platform.model_fields}
    environment = {"type": "object", "properties": overlay, "additionalProperties": False}
    platform["properties"]["environments"] = {
        "type": "object",
        "description": PlatformFile.model_fields["environments"].description,
        "additionalProperties": {"anyOf": [environment, {"type": "null"}]},
    }
    found = {MILLRACE: project, PLATFORM: platform}
    return {name: {"$schema": "https://json-schema.org/draft/2020-12/schema", **one} for name, one in found.items()}


def write_schemas(folder: Path) -> list[Path]:
    """Write both schemas and return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths: list[Path] = []
    for name, schema in schemas().items():
        path = folder / name
        path.write_text(schema_text(schema), encoding="utf-8")
        paths.append(path)
    return paths


def schema_text(schema: Mapping[str, Any]) -> str:
    """Return a schema as it is committed."""
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def _without_required(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema for a part of the whole: nothing is required, and null, which removes a key, is allowed."""
    result: dict[str, Any] = {}
    for name, value in schema.items():
        if name == "$defs":
            result[name] = {key: _without_required(one) for key, one in value.items()}
        elif name == "properties":
            either = {key: [_without_required(one), {"type": "null"}] for key, one in value.items()}
            result[name] = {key: {"anyOf": options} for key, options in either.items()}
        elif name in {"items", "additionalProperties"} and isinstance(value, dict):
            result[name] = _without_required(cast("dict[str, Any]", value))
        elif name in {"anyOf", "oneOf"}:
            result[name] = [_without_required(one) for one in value]
        elif name != "required":
            result[name] = value
    return result
