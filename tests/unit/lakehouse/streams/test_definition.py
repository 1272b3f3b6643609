"""The stream's definition follows the contract and the settings, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestration.contracts.models import Stream
from orchestration.flink.queries.inserts import parse_inserts
from orchestration.flink.text.validate import check_properties, require_valid
from orchestration.lakehouse.streams.definition import stream_spec
from orchestration.settings import Settings
from tests.unit.tiny import tiny_contract


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(state_dir=tmp_path)


def test_all_tables_are_fed_from_one_view(settings: Settings) -> None:
    contract = tiny_contract()
    inserts = parse_inserts(stream_spec(settings, contract).query)
    assert [".".join(one.table[1:]) for one in inserts] == list(contract.tables.model_dump().values())
    assert all("FROM judged" in one.query and "kafka_source" not in one.query for one in inserts)


def test_the_definition_is_one_that_the_engine_takes(settings: Settings) -> None:
    spec = stream_spec(settings, tiny_contract())
    assert require_valid(spec.query, purpose="persistent", mode="streaming") == []
    check_properties(spec.execution)


def test_where_the_stream_starts_is_not_part_of_it(settings: Settings) -> None:
    source = stream_spec(settings, tiny_contract()).inputs[0]
    assert "'scan.startup.mode' = 'group-offsets'" in source
    assert "'properties.auto.offset.reset' = 'none'" in source
    assert "specific-offsets" not in source


def test_what_decides_the_job_changes_the_definition(settings: Settings) -> None:
    contract = tiny_contract()
    hashes = [
        stream_spec(settings, contract).spec_hash,
        stream_spec(settings.with_changes(checkpoint_interval_ms=2000), contract).spec_hash,
        stream_spec(settings, contract.model_copy(update={"quality_rules": contract.quality_rules[:1]})).spec_hash,
        stream_spec(settings, contract.model_copy(update={"stream": Stream(remember_keys_h=1)})).spec_hash,
    ]
    assert len(set(hashes)) == len(hashes)
    assert stream_spec(settings, contract.model_copy(update={"description": "other"})).spec_hash == hashes[0]


def test_the_memory_of_the_stream_does_not_ask_for_a_rebuild_of_silver() -> None:
    contract = tiny_contract()
    assert contract.model_copy(update={"stream": Stream(remember_keys_h=1)}).fingerprint() == contract.fingerprint()
