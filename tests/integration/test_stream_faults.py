"""Acceptance of the streams under faults, in short; benchmarks/stream_faults.py is the long form."""

from __future__ import annotations

from pathlib import Path

from orchestration.embedded.stack import Stack
from orchestration.settings import Settings
from tests.integration.lake import make_lake
from tests.integration.stream_faults import Fault, FaultRun, streamed

# A power cut kills all five servers; broker and catalog are those whose loss the job itself has to bear.
FAULTS = (Fault("kafka", 1.3), Fault("upgrade", 0.4), Fault("power cut", 2.1), Fault("catalog", 0.7))
RECOVERS_S = 120.0
"""30 s are promised, and measured by the long form; here other work may hold the machine."""


def test_faults_while_events_arrive_lose_and_repeat_nothing(settings: Settings, stack: Stack, tmp_path: Path) -> None:
    lake = make_lake(settings, tmp_path, checkpoint_interval_ms=1000, sql_engine_namespace=f"s{tmp_path.name[-8:]}")
    with streamed(lake):
        report = FaultRun(stack, lake, print).run(FAULTS, seed=7, rate=200)
    assert report.violations == []
    assert report.records > 1000
    assert [one.fault for one in report.outcomes if one.commit_s > RECOVERS_S] == []
