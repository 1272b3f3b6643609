"""The metrics file appears whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from orchestration.errors import MillraceError
from orchestration.generator.metrics import RunMetrics, read_metrics, write_metrics

METRICS = RunMetrics(
    events=9, invalid=1, elapsed_seconds=0.5, events_per_second=18.0, mode="burst", broker="b:1", topic="t",
    schema_validation=True, dataset="rides", data_path="/x", produced_at="2024-03-01T00:00:00.000Z", run_id="r1",
)  # fmt: skip


def test_metrics_read_back_as_they_were_written(tmp_path: Path) -> None:
    path = tmp_path / "new" / "m.json"
    write_metrics(path, METRICS)
    assert read_metrics(path) == METRICS
    assert json.loads(path.read_text())["events_per_second"] == 18.0
    assert [item.name for item in path.parent.iterdir()] == ["m.json"]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"events": 1}'])
def test_what_is_no_metrics_file_reads_as_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "m.json").write_text(text)
    assert read_metrics(tmp_path / "m.json") is None


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(MillraceError, match=r"metrics file .*m\.json cannot be written"):
        write_metrics(tmp_path / "file" / "m.json", METRICS)
