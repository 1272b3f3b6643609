"""The layers of the code, held by import-linter; this file holds that its configuration knows every module."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

from tests.contract.checkout import ROOT

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
MAY_KNOW_DAGSTER = {"definitions", "defs", "pipeline"}


def contract(name: str) -> dict[str, Any]:
    return next(item for item in PYPROJECT["tool"]["importlinter"]["contracts"] if item["id"] == name)


def modules() -> set[str]:
    found = {path.stem for path in (ROOT / "orchestration").glob("*.py") if path.stem != "__init__"}
    return found | {path.parent.name for path in (ROOT / "orchestration").glob("*/__init__.py")}


def test_dependencies_point_downwards_only() -> None:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_module_but_three_is_kept_free_of_dagster() -> None:
    sources = {name.removeprefix("orchestration.") for name in contract("dagster")["source_modules"]}
    assert sources == modules() - MAY_KNOW_DAGSTER


def test_no_layer_is_listed_that_does_not_exist() -> None:
    listed = {name.strip(" ()") for layer in contract("house")["layers"] for name in layer.replace("|", ":").split(":")}
    assert listed == modules()


def test_nothing_imports_dagster_before_it_is_needed() -> None:
    # The command line starts in tenths of a second because of it.
    code = (
        "import sys, orchestration.cli.main\n"
        "heavy = {'dagster', 'pyarrow', 'duckdb', 'pyiceberg', 'confluent_kafka', 'dbt'} & set(sys.modules)\n"
        "sys.exit(', '.join(sorted(heavy)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
