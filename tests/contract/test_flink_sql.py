"""Every template says what it is for, names its variables, and is used."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from pathlib import Path

import pytest

from orchestration.broker.offsets import LogRange
from orchestration.contracts import DatasetContract, list_datasets, load_contract
from orchestration.flink.queries.spec_files import load_specs, split_front_matter
from orchestration.flink.tables import directory
from orchestration.flink.tables.directory import TableDirectory, create_topic_table
from orchestration.flink.text import catalog_sql
from orchestration.flink.text import render as rendering
from orchestration.flink.text.catalog_sql import create_catalog, create_namespace
from orchestration.flink.text.validate import check_sql
from orchestration.lakehouse import statements
from orchestration.settings import Settings
from tests.contract.checkout import ROOT, tracked_files

# Queries are read by their own loader; a declared table is used by its name.
NAMED = ("flink_sql/queries/", "flink_sql/tables/")
TEMPLATES = sorted(path for path in tracked_files() if path.startswith("flink_sql/") and path.endswith(".sql"))
VARIABLE = re.compile(r"\$\{(\w+)\}")


def header_of(text: str) -> str:
    lines = []
    _, below = split_front_matter(text)
    for line in below.splitlines():
        if not line.startswith("--"):
            break
        lines.append(line.removeprefix("--").strip())
    return " ".join(lines)


def variables_of_header(text: str) -> set[str]:
    _, _, named = header_of(text).partition("Variables:")
    return set(re.findall(r"\b[A-Z][A-Z_]+\b", re.sub(r"\([^)]*\)", "", named)))


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_template_opens_with_its_purpose_and_its_variables(template: str) -> None:
    text = (ROOT / template).read_text(encoding="utf-8")
    assert header_of(text).startswith("Purpose: ")
    body = "\n".join(line for line in text.splitlines() if not line.startswith("--"))
    assert variables_of_header(text) == set(VARIABLE.findall(body))


def render_everything(contract: DatasetContract) -> list[str]:
    """Return every statement that a dataset needs, in each of its forms."""
    ranges = {0: LogRange(0, 10), 1: LogRange(3, 7)}
    inserts = [
        statements.rebuild_silver(contract),
        statements.refresh_silver(contract, [date(2024, 1, 5)]),
        statements.store_rejected(contract, skip_stored=True),
        statements.rebuild_rejected(contract),
    ]
    return [
        create_catalog({"type": "iceberg"}),
        create_namespace("silver"),
        create_topic_table(f"{contract.name}_raw", contract, Settings(), "streaming"),
        statements.create_bronze(contract),
        statements.create_silver(contract),
        statements.create_rejected(contract),
        statements.create_source(contract, ranges, {"properties.bootstrap.servers": "h:1"}, is_tolerant=True),
        statements.load_bronze(contract, {0: [4]}),
        statements.create_judged(contract, after=None, upto=2),
        statements.create_judged(contract, after=1, upto=2),
        statements.create_group_source(contract, {"properties.bootstrap.servers": "h:1"}, group="g"),
        statements.create_judged_stream(contract),
        statements.stream_bronze(contract),
        statements.stream_silver(contract),
        *inserts,
        statements.statement_set(inserts),
    ]


@pytest.mark.parametrize("dataset", list_datasets())
def test_every_statement_of_every_dataset_renders(dataset: str) -> None:
    for sql in render_everything(load_contract(dataset)):
        assert "${" not in sql
        assert "--" not in sql


def test_every_template_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    used: set[str] = set()

    def record(template: str, variables: Mapping[str, str], templates_dir: Path = rendering.TEMPLATES_DIR) -> str:
        used.add(f"flink_sql/{template}")
        return rendering.render(template, variables, templates_dir)

    for module in (statements, catalog_sql, directory):
        monkeypatch.setattr(module, "render", record)
    render_everything(load_contract("taxi"))
    assert used == {template for template in TEMPLATES if not template.startswith(NAMED)}


def test_every_declared_table_is_found_by_its_name() -> None:
    directory = TableDirectory(Settings())
    declared = [Path(path).stem for path in TEMPLATES if path.startswith("flink_sql/tables/")]
    assert declared
    for name in declared:
        assert [item.name for item in directory.statements_for(f"SELECT 1 FROM {name}")][-1] == name


def test_every_declared_query_holds_to_the_rules_and_reads_declared_tables() -> None:
    directory = TableDirectory(Settings())
    specs = load_specs(ROOT / "flink_sql" / "queries")
    assert [spec.name for spec in specs] == ["revenue_per_zone", "revenue_per_zone_iceberg"]
    for spec in specs:
        assert [problem.code for problem in check_sql(spec.query, purpose="persistent", mode=spec.mode)] == []
        assert [item.name for item in directory.statements_for(spec.query)] == ["taxi_raw", "taxi_pickups"]
        assert spec.description
