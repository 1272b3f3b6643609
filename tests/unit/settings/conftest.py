from pathlib import Path

import pytest

from orchestration import redaction


@pytest.fixture(autouse=True)
def _nothing_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redaction, "_remembered", set())


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout with two profiles."""
    profiles = tmp_path / "platform" / "profiles"
    profiles.mkdir(parents=True)
    (profiles / "aws.env").write_text("# aws: S3\nBROKER_URL=kafka:9092\nTOPIC=from.profile\nKAFKA_PORT=1111\n")
    (profiles / "local.env").write_text("# local: here\nTOPIC=from.local\n")
    return tmp_path
