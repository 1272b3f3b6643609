"""Which command lines get the code location by default."""

from __future__ import annotations

import pytest

from orchestration.dagster_default import needs_default

PYTHON = "/checkout/.venv/bin/python"


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        ([PYTHON, "/checkout/.venv/bin/dagster", "job", "execute", "-j", "lakehouse_batch"], True),
        ([PYTHON, "dagster", "job", "execute", "--job", "lakehouse_batch", "--tags", "{}"], True),
        ([PYTHON, "-m", "dagster", "job", "execute", "-j", "lakehouse_batch"], True),
        ([PYTHON, "dagster", "job", "execute", "-m", "other.defs", "-j", "x"], False),
        ([PYTHON, "dagster", "job", "execute", "-f", "other.py", "-j", "x"], False),
        ([PYTHON, "dagster", "job", "execute", "--python-file=other.py", "-j", "x"], False),
        ([PYTHON, "dagster", "job", "list"], False),
        ([PYTHON, "dagster", "dev"], False),
        ([PYTHON, "-c", "print()"], False),
        ([], False),
    ],
    ids=lambda value: " ".join(value[1:]) if isinstance(value, list) else str(value),
)
def test_only_job_execute_without_a_target_gets_the_default(argv: list[str], expected: bool) -> None:
    assert needs_default(argv) is expected
