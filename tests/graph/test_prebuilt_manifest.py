"""Definitions read the manifest that is there: fast, and never in silence when it is behind the project."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from orchestration.dbt_plugin.manifest import manifest_path
from orchestration.settings import Settings

REPO = Path(__file__).resolve().parents[2]
MESSAGE = "the dbt project changed since"
_LOAD = """
from orchestration.dbt_plugin import manifest
def refuse(*_):
    raise AssertionError("the dbt project was parsed while definitions loaded")
manifest._parse = refuse
from orchestration.definitions import defs
print(len(defs.resolve_asset_graph().get_all_asset_keys()))
"""


@pytest.fixture(scope="module")
def moved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the checkout with its manifest, which is stale there: it holds the paths of the original."""
    copy = tmp_path_factory.mktemp("copy")
    skipped = shutil.ignore_patterns("__pycache__", "parse", "partial_parse.msgpack", "compiled", "run")
    for folder in ("orchestration", "dbt", "platform", "flink_sql"):
        shutil.copytree(REPO / folder, copy / folder, ignore=skipped)
    for file in ("pyproject.toml", "dagster.yaml"):
        shutil.copy(REPO / file, copy / file)
    assert manifest_path(Settings(repo_root=copy)).is_file()
    return copy


def load(folder: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    """Load the definitions of a checkout in a process of its own."""
    return subprocess.run(
        [sys.executable, *flags, "-c", _LOAD],
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_stale_manifest_is_used_as_it_is_with_a_warning_that_says_what_to_do(moved: Path) -> None:
    done = load(moved)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 20
    assert f"StaleManifestWarning: {MESSAGE} {moved}/dbt/target/" in done.stderr
    assert "`./millrace ui` parse it anew" in done.stderr


def test_where_warnings_are_errors_a_stale_manifest_is_one(moved: Path) -> None:
    done = load(moved, "-W", f"error:{MESSAGE}")
    assert done.returncode == 1
    assert f"StaleManifestWarning: {MESSAGE}" in done.stderr
