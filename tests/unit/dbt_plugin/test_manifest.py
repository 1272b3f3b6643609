"""The manifest: parsed when the project changed, once, and never half."""

from __future__ import annotations

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from orchestration.dbt_plugin.manifest import PARSE_CACHE, ensure_manifest, forget_moved_project, source_hash
from orchestration.errors import ConfigError
from orchestration.settings import Settings


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A small project: reading and hashing it takes no time."""
    folder = tmp_path / "dbt"
    (folder / "models").mkdir(parents=True)
    (folder / "dbt_project.yml").write_text("name: small\n")
    (folder / "models" / "one.sql").write_text("select 1 as x\n")
    return folder


@pytest.mark.parametrize(
    "path",
    [
        pytest.param("models/one.sql", id="a-model-changed"),
        pytest.param("models/two.sql", id="a-model-came"),
        pytest.param("seeds/s.csv", id="a-seed-came"),
    ],
)
def test_every_source_file_counts(project: Path, path: str) -> None:
    before = source_hash(project)
    (project / path).parent.mkdir(exist_ok=True)
    (project / path).write_text("select 2 as x\n")
    assert source_hash(project) != before


@pytest.mark.parametrize("path", ["target/manifest.json", "logs/dbt.log", ".user.yml"])
def test_what_dbt_writes_does_not_count(project: Path, path: str) -> None:
    before = source_hash(project)
    (project / path).parent.mkdir(exist_ok=True)
    (project / path).write_text("{}")
    assert source_hash(project) == before


def test_renaming_a_model_counts(project: Path) -> None:
    before = source_hash(project)
    (project / "models" / "one.sql").rename(project / "models" / "first.sql")
    assert source_hash(project) != before


def test_moving_the_project_counts(project: Path) -> None:
    before = source_hash(project)
    moved = project.rename(project.with_name("moved"))
    assert source_hash(moved) != before


def test_parse_cache_of_a_moved_project_is_dropped(tmp_path: Path) -> None:
    target = tmp_path / "target"
    forget_moved_project(Path("/one/dbt"), target)
    (target / PARSE_CACHE).write_bytes(b"cache")
    forget_moved_project(Path("/one/dbt"), target)
    assert (target / PARSE_CACHE).is_file()
    forget_moved_project(Path("/two/dbt"), target)
    assert not (target / PARSE_CACHE).exists()


def test_manifest_is_parsed_once_for_parallel_callers_and_again_after_a_change(tmp_path: Path) -> None:
    real = Settings()
    shutil.copytree(real.repo_root / "dbt", tmp_path / "dbt", ignore=shutil.ignore_patterns("target", "logs"))
    settings = Settings(repo_root=tmp_path, state_dir=tmp_path / "state")
    with ThreadPoolExecutor(2) as pool:
        paths = list(pool.map(lambda _: ensure_manifest(settings), range(2)))
    assert paths == [tmp_path / "dbt" / "target" / "iceberg" / "manifest.json"] * 2
    nodes = json.loads(paths[0].read_text())["nodes"]
    assert nodes["model.millrace.fct_trips"]["schema"] == "gold"
    written = paths[0].stat().st_mtime_ns
    assert ensure_manifest(settings).stat().st_mtime_ns == written

    broken = tmp_path / "dbt" / "models" / "marts" / "core" / "dim_locations.sql"
    broken.write_text("select * from {{ ref('nowhere') }}")
    with pytest.raises(ConfigError, match="depends on a node named 'nowhere'"):
        ensure_manifest(settings)
    assert json.loads(paths[0].read_text())["nodes"] == nodes
