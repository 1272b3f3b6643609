"""Compiling: what is in the profile, that it is repeatable, and that dbt takes it without a variable."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from orchestration.compilation.compiled import PROFILES, RESOURCES, compile_environment
from orchestration.dbt_plugin.plugin_config import PluginConfig
from orchestration.errors import CheckFailedError
from tests.contract.checkout import ROOT
from tests.unit.compilation.conftest import PLATFORM, PROJECT

PLANTED = "planted-secret-4711"
SECRETS = {"POLARIS_CLIENT_ID": "some-client", "POLARIS_CLIENT_SECRET": PLANTED}


def profile_of(root: Path, **environ: str) -> dict[str, Any]:
    compiled = compile_environment(None, environ=environ, repo_root=root)
    return yaml.safe_load(compiled.files[PROFILES])


def config_of(root: Path, target: str = "iceberg", **environ: str) -> dict[str, Any]:
    [profile] = profile_of(root, **environ).values()
    return next(one["config"] for one in profile["outputs"][target]["plugins"] if "config" in one)


def test_pc_01_the_profile_has_the_described_keys_and_no_secret(root: Path) -> None:
    compiled = compile_environment(None, environ=SECRETS, repo_root=root)
    profile = yaml.safe_load(compiled.files[PROFILES])["customer_analytics"]
    assert profile["target"] == "iceberg"
    assert list(profile["outputs"]) == ["iceberg", "duckdb"]
    output = profile["outputs"]["iceberg"]
    assert {"type": "duckdb", "threads": 4}.items() <= output.items()
    assert "extensions" not in output
    assert "settings" not in output
    assert output["plugins"][0]["module"] == "orchestration.dbt_plugin.polaris"
    config = output["plugins"][0]["config"]
    assert config["catalog_uri"] == "https://polaris.example.com/api/catalog"
    assert config["warehouse"] == "demo_catalog"
    assert config["client_id_ref"] == "polaris-client-id"
    assert config["client_secret_ref"] == "polaris-client-secret"
    assert config["scope"] == "PRINCIPAL_ROLE:service_admin"
    assert config["namespaces"] == ["gold"]
    assert config["storage"] == {"type": "s3", "region": "eu-central-1", "path_style": False}
    described = {"alias", "catalog_type", "oauth2_server_uri", "access_delegation", "timeout_s", "retries"}
    assert described | {"credential_style"} <= set(config)
    assert "env_var" not in compiled.files[PROFILES]
    assert all(value not in text for text in compiled.files.values() for value in SECRETS.values())


def test_the_plugin_takes_the_compiled_configuration(root: Path) -> None:
    assert PluginConfig.from_profile(config_of(root)).warehouse == "demo_catalog"


def test_pc_01_a_second_compile_touches_nothing(root: Path) -> None:
    first = compile_environment(None, environ=SECRETS, repo_root=root)
    assert sorted(path.name for path in first.write()) == [PROFILES, RESOURCES]
    path = first.folder / PROFILES
    os.utime(path, (1, 1))
    again = compile_environment(None, environ=SECRETS, repo_root=root)
    assert again.files == first.files
    assert again.write() == []
    assert path.stat().st_mtime == 1
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert sorted(one.name for one in first.folder.iterdir()) == [PROFILES, RESOURCES]


def test_check_fails_when_a_file_on_disk_differs(root: Path) -> None:
    compiled = compile_environment(None, environ={}, repo_root=root)
    compiled.write()
    compiled.require_same()
    path = root / "platform" / "platform.yaml"
    path.write_text(path.read_text().replace("threads: 4", "threads: 3"))
    with pytest.raises(CheckFailedError, match=PROFILES):
        compile_environment(None, environ={}, repo_root=root).require_same()


def test_the_header_names_the_inputs_their_hashes_and_the_variables(root: Path) -> None:
    text = compile_environment(None, environ={"CATALOG_REALM": "r1"}, repo_root=root).files[PROFILES]
    header = [line for line in text.splitlines() if line.startswith("#")]
    assert "environment local" in header[0]
    assert [line.split()[1] for line in header if "sha256:" in line] == [
        "millrace.yaml",
        "platform/platform.yaml",
        "dbt/profiles.yml",
    ]
    assert header[-1] == "# Also from the environment: CATALOG_REALM"


def test_pc_02_the_catalog_that_the_project_names_is_attached(root: Path) -> None:
    (root / "millrace.yaml").write_text(PROJECT.replace("catalog: default", "catalog: analytics"))
    config = config_of(root)
    assert (config["catalog_uri"], config["warehouse"]) == (
        "https://analytics.example.com/api/catalog",
        "analytics_catalog",
    )


def test_a_file_named_floe_yaml_is_a_project_file(root: Path) -> None:
    (root / "millrace.yaml").rename(root / "floe.yaml")
    assert list(profile_of(root)) == ["customer_analytics"]


def test_a_folder_for_an_environment_works_like_an_overlay(root: Path) -> None:
    own = root / "platform" / "prod" / "platform.yaml"
    own.parent.mkdir()
    own.write_text(PLATFORM.replace("warehouse: demo_catalog", "warehouse: prod_catalog"))
    assert config_of(root, MILLRACE_PLATFORM_ENV="prod")["warehouse"] == "prod_catalog"
    assert config_of(root, FLOE_PLATFORM_ENV="prod")["warehouse"] == "prod_catalog"
    assert config_of(root, MILLRACE_PLATFORM_FILE=str(own))["warehouse"] == "prod_catalog"
    assert config_of(root)["warehouse"] == "demo_catalog"


def test_a_variable_goes_before_the_platform_file(root: Path) -> None:
    assert config_of(root, FLOE_CATALOG_WAREHOUSE="other")["warehouse"] == "other"
    assert config_of(root, FLOE_POLARIS_WAREHOUSE="other")["warehouse"] == "other"


def test_what_only_the_platform_file_knows_reaches_the_plugin(root: Path) -> None:
    more = "namespace: demo\n    realm: r1\n    credential_style: inline\n    properties: {max_table_staleness: 5m}"
    (root / "platform" / "platform.yaml").write_text(PLATFORM.replace("namespace: demo", more, 1))
    compiled = compile_environment(None, environ={}, repo_root=root)
    config = config_of(root)
    assert config["realm"] == "r1"
    assert config["credential_style"] == "inline"
    assert config["properties"] == {"MAX_TABLE_STALENESS": "5m"}
    assert any("inline" in warning for warning in compiled.warnings)


def test_a_run_gets_the_resources_of_its_profile(root: Path) -> None:
    (root / "millrace.yaml").write_text(f"{PROJECT}resource_profile: transform\n")
    compiled = compile_environment(None, environ={}, repo_root=root)
    found = yaml.safe_load(compiled.files[RESOURCES])
    container = found["run_tags"]["dagster-k8s/config"]["container_config"]
    assert container["resources"]["limits"] == {"cpu": "8000m", "memory": "12Gi"}
    assert {"name": "DUCKDB_MEMORY_LIMIT", "value": "8232MiB"} in container["env"]
    assert config_of(root)["memory_limit"] == "8232MiB"


def test_the_dbt_project_must_ask_for_this_profile(root: Path) -> None:
    (root / "dbt" / "dbt_project.yml").write_text("name: customer\nprofile: another\n")
    with pytest.raises(Exception, match="asks for the profile 'another'"):
        compile_environment(None, environ={}, repo_root=root)


def test_pc_01_dbt_parses_the_project_with_no_variable_set(tmp_path: Path) -> None:
    project = tmp_path / "dbt"
    shutil.copytree(ROOT / "dbt", project, ignore=shutil.ignore_patterns("target", "logs", "profiles.yml"))
    folder = tmp_path / "compiled"
    compile_environment("prod", environ={}, folder=folder).write()
    command = [str(Path(sys.executable).with_name("dbt")), "parse", "--project-dir", str(project)]
    command += ["--profiles-dir", str(folder), "--target-path", str(tmp_path / "target")]
    command += ["--log-path", str(tmp_path / "logs")]
    environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    done = subprocess.run(command, env=environ, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
