"""The commands of `millrace sql` without services: over a fake gateway, or over an engine that only remembers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import httpx
import pytest

from orchestration.cli import main as root
from orchestration.errors import NotFoundError
from orchestration.flink import engine as engine_module
from orchestration.flink.queries.record import QueryRecord
from orchestration.settings import Settings, load_settings
from tests.unit.flink.fakes import FakeFlink


@dataclass(frozen=True)
class Ran:
    """What a command line left behind."""

    code: int
    out: str
    err: str


Run = Callable[..., Ran]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Run:
    """Run `millrace sql WORDS` in this process, with a state folder of its own."""
    monkeypatch.setenv("MILLRACE_STATE_DIR", str(tmp_path))

    def run_words(*words: str) -> Ran:
        code = root.run(root.hoist(["sql", *words]))
        out, err = capfd.readouterr()
        return Ran(code, out, err)

    return run_words


@pytest.fixture
def flink(monkeypatch: pytest.MonkeyPatch) -> FakeFlink:
    """A gateway and a cluster without sockets, which every engine of the test speaks to."""
    fake, real = FakeFlink(), engine_module.open_engine
    overview = {"flink-version": "2.1.3", "taskmanagers": 1, "slots-total": 4, "slots-available": 3}
    fake.overrides["GET /overview"] = lambda request: httpx.Response(200, json=overview)
    monkeypatch.setattr(
        engine_module, "open_engine", lambda settings: real(settings, transport=httpx.MockTransport(fake.handle))
    )
    return fake


@dataclass
class FakeRest:
    """A cluster with free slots."""

    def overview(self) -> Any:
        from orchestration.flink.client.models import ClusterOverview

        return ClusterOverview.model_validate({"slots-total": 4, "slots-available": 3})


@dataclass
class FakeRegistry:
    """Records by name."""

    records: dict[str, QueryRecord] = field(default_factory=dict)

    def require(self, ref: str, *, include_deleted: bool) -> QueryRecord:
        assert include_deleted
        if ref not in self.records:
            raise NotFoundError(f"there is no query {ref}")
        return self.records[ref]


@dataclass
class RecordingEngine:
    """Answers each operation with what the test laid ready, and keeps how it was called."""

    settings: Settings
    answers: dict[str, Any] = field(default_factory=dict)
    calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = field(default_factory=list)
    rest: FakeRest = field(default_factory=FakeRest)
    registry: FakeRegistry = field(default_factory=FakeRegistry)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            on_progress = options.pop("on_progress", None)
            self.calls.append((name, arguments, options))
            if on_progress is not None:
                on_progress(f"{name} begins")
            answer = self.answers[name]
            if isinstance(answer, Exception):
                raise answer
            return answer

        return call

    @property
    def last(self) -> tuple[str, Sequence[Any], dict[str, Any]]:
        return self.calls[-1]


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> RecordingEngine:
    """The engine that every command of the test opens."""
    recording = RecordingEngine(load_settings(environ={"MILLRACE_STATE_DIR": str(tmp_path)}))
    monkeypatch.setattr(engine_module, "open_engine", lambda settings: recording)
    return recording
