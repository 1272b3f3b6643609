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


def _without_required(schema: Any) -> Any:
    """Return the schema for a part of the whole: nothing is required, and null, which removes a key, is allowed."""
    if isinstance(schema, list):
        return [_without_required(item) for item in cast("list[Any]", schema)]
    if not isinstance(schema, dict):
        return schema
    found = cast("dict[str, Any]", schema)
    result = {name: _without_required(value) for name, value in found.items() if name != "required"}
    if isinstance(result.get("properties"), dict):
        result["properties"] = {name: {"anyOf": [one, {"type": "null"}]} for name, one in result["properties"].items()}
    return result
