"""The committed configuration: every environment compiles, schemas are those of the models, copies agree."""

from __future__ import annotations

import json
import re
from functools import cache
from typing import Any

import jsonschema
import pytest
import yaml

from orchestration.compilation import known
from orchestration.compilation.compiled import PROFILES, Compiled, compile_environment
from orchestration.dbt_plugin import plugin_config
from orchestration.definitions import defs
from orchestration.platform_config import engines, stores
from orchestration.platform_config.schema import MILLRACE, PLATFORM, schema_text, schemas
from orchestration.platform_config.tiers import environments
from orchestration.settings import profiles
from orchestration.settings.model import Settings
from tests.contract.checkout import ROOT, read_text, tracked_files

ENVIRONMENTS = ("dev", "local", "prod", "staging")
DIFFERING = {
    "catalog_uri": "every environment has its own catalog",
    "warehouse": "and its own warehouse in it",
    "oauth2_server_uri": "follows the catalog",
    "memory_limit": "dev is smaller",
    "threads": "dev is smaller",
}
ONLY_LOCAL = {
    *("catalog_type", "access_delegation", "create_namespaces", "storage", "temp_directory"),
    *("client_id_ref", "client_secret_ref", "scope", "max_temp_directory_size"),
}


@cache
def compiled(environment: str) -> Compiled:
    return compile_environment(environment, environ={})


def config(environment: str) -> dict[str, Any]:
    output = yaml.safe_load(compiled(environment).files[PROFILES])["millrace"]["outputs"]["iceberg"]
    return output["plugins"][0]["config"]


def differing(*names: str) -> set[str]:
    configs = [config(name) for name in names]
    keys = {key for one in configs for key in one}
    return {key for key in keys if any(one.get(key) != configs[0].get(key) for one in configs)}


def test_the_committed_environments_are_these() -> None:
    assert environments(ROOT) == list(ENVIRONMENTS)


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_pc_03_every_committed_environment_compiles_with_the_one_project_file(environment: str) -> None:
    assert compiled(environment).warnings == []
    assert config(environment)["catalog_uri"]


def test_pc_03_only_what_is_meant_differs_between_environments() -> None:
    assert differing("dev", "staging", "prod") == set(DIFFERING)
    assert differing("local", "prod") <= set(DIFFERING) | ONLY_LOCAL


def test_no_compiled_file_asks_for_a_variable_or_holds_a_secret() -> None:
    text = "".join(text for name in ENVIRONMENTS for text in compiled(name).files.values())
    assert "env_var" not in text
    assert not re.search(r"client_secret:", text)


@pytest.mark.parametrize("name", [MILLRACE, PLATFORM])
def test_the_committed_schemas_are_those_of_the_models(name: str) -> None:
    assert read_text(f"platform/schemas/{name}") == schema_text(schemas()[name]), "run `millrace schema export`"


@pytest.mark.parametrize(("file", "name"), [("millrace.yaml", MILLRACE), ("platform/platform.yaml", PLATFORM)])
def test_an_editor_finds_no_fault_in_the_committed_files(file: str, name: str) -> None:
    text = read_text(file) or ""
    assert f"$schema={'platform/' if file == 'millrace.yaml' else ''}schemas/{name}" in text.splitlines()[0]
    schema = json.loads(read_text(f"platform/schemas/{name}") or "")
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(yaml.safe_load(text), schema)


def test_an_editor_finds_a_misspelled_key_in_an_environment() -> None:
    schema = schemas()[PLATFORM]
    broken = {"environments": {"dev": {"catalogs": {"default": {"urii": "https://x"}}}}}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(broken, schema)


def test_platform_file_and_plugin_know_the_same_options() -> None:
    assert stores.ATTACH_OPTIONS == plugin_config.ATTACH_PROPERTIES
    assert engines.SECRET_MANAGER_SETTINGS == plugin_config.SECRET_MANAGER_SETTINGS


def test_profiles_know_the_default_axes_of_the_settings() -> None:
    settings = Settings()
    expected = {axis: getattr(settings, axis) for axis in ("broker", "catalog", "storage", "mode")}
    assert expected == profiles._DEFAULT_AXES


def test_what_may_be_named_in_the_project_file_is_in_the_code_location() -> None:
    repository = defs.get_repository_def()
    jobs = {job.name for job in repository.get_all_jobs()}
    assert jobs - {name for name in jobs if name.startswith("__")} == set(known.JOBS)
    graph = repository.asset_graph
    keys = {key.to_user_string() for key in graph.get_all_asset_keys() if graph.get(key).is_materializable}
    found = known.known_objects(Settings()).assets
    assert keys - found == set()
    groups = {graph.get(key).group_name for key in graph.get_all_asset_keys() if graph.get(key).is_materializable}
    assert groups <= known.GROUPS


CODE = re.compile(r'"(PLT-[A-Z-]+)"')


def test_every_code_of_the_platform_is_documented() -> None:
    sources = [path for path in tracked_files() if path.startswith("orchestration/") and path.endswith(".py")]
    codes = {code for path in sources for code in CODE.findall(read_text(path) or "")}
    documents = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "docs").glob("*.md"))
    assert "PLT-SECRET-REF" in codes
    assert [code for code in sorted(codes) if f"`{code}`" not in documents] == []
