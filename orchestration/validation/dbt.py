"""The models: every dbt test."""

from __future__ import annotations

from orchestration.dbt_plugin.runner import DbtNode, run_dbt
from orchestration.settings import Settings
from orchestration.validation.results import Outcome, Result, check

_MOST = 10
"""Failed tests that get a line of their own: without a build all of them fail for one reason."""


def check_models(settings: Settings) -> list[Result]:
    """Run dbt's tests of data; one result for each failed test, and one for all that passed."""
    nodes: list[DbtNode] = []

    def look() -> Outcome:
        run = run_dbt(settings, ["test", "--exclude-resource-type", "unit_test"])
        nodes.extend(run.nodes)
        return judge_tests(run.nodes)

    whole = check("models", "dbt tests", settings.dbt_test_timeout_s, look)
    return [whole, *(_failure(node) for node in nodes if node.is_failed)][: _MOST + 1]


def judge_tests(nodes: tuple[DbtNode, ...]) -> Outcome:
    """Judge a `dbt test`: all passed, and there was something to test."""
    failed = sum(node.is_failed for node in nodes)
    skipped = sum(node.status == "skipped" for node in nodes)
    passed = len(nodes) - failed - skipped
    if not nodes:
        return Outcome(False, "dbt ran no test", hint="`millrace config validate`; the project in dbt/ has tests")
    text = f"{passed:,} of {len(nodes):,} passed"
    hint = (
        "the first failed tests are listed below" if failed else "`millrace run` builds the models that the tests need"
    )
    return Outcome(failed == 0 and skipped == 0, f"{text}, {skipped:,} skipped" if skipped else text, hint=hint)


def _failure(node: DbtNode) -> Result:
    return Result(
        "models",
        node.unique_id.split(".")[2] if node.unique_id.count(".") >= 2 else node.unique_id,
        False,
        f"{node.failures:,} rows break it" if node.failures else telling_line(node.message),
        node.message,
        "`millrace run` builds models that are missing or behind silver; `millrace duckdb` looks into them",
    )


def telling_line(message: str | None) -> str:
    """Return the line of dbt's message that says why: the one below `Runtime Error in test …`."""
    lines = [line.strip() for line in (message or "").splitlines() if line.strip()]
    return next((line for line in lines if " Error in " not in line), lines[0] if lines else "no reason given")
