"""docs/sql.md says what the SQL engine does: commands, fields, rules, codes, profiles, the worked example."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from orchestration.cli.commands import ENTRIES, load_command
from orchestration.cli.sql.backslash import NAMES
from orchestration.flink.queries.spec import QuerySpec
from orchestration.flink.queries.states import QueryState
from orchestration.flink.tables.profiles import load_profiles
from orchestration.flink.tables.sink_request import SinkRequest
from orchestration.flink.text import validate
from orchestration.settings import Settings
from tests.contract.checkout import ROOT

TEXT = (ROOT / "docs" / "sql.md").read_text(encoding="utf-8")
FIELDS = [name for name in QuerySpec.model_fields if name != "sink"]
FIELDS += [f"sink.{name}" for name in SinkRequest.model_fields]
_CODE = re.compile(r"[a-z]+(?:_[a-z]+)*")


def error_codes() -> set[str]:
    """Return the codes that the engine's errors carry, from its sources."""
    found: set[str] = set()
    for path in [*(ROOT / "orchestration" / "flink").rglob("*.py"), ROOT / "orchestration" / "errors.py"]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.Dict(keys=keys, values=values):
                    pairs = zip(keys, values, strict=True)
                    found |= {
                        str(value.value)
                        for key, value in pairs
                        if isinstance(key, ast.Constant) and key.value == "code" and isinstance(value, ast.Constant)
                    }
                case ast.AnnAssign(target=ast.Name(id="default_code"), value=ast.Constant(value=code)):
                    found.add(str(code))
                case ast.Assign(targets=[ast.Name(id="default_code")], value=ast.Constant(value=code)):
                    found.add(str(code))
                case ast.keyword(arg="unreachable_code", value=ast.Constant(value=code)):
                    found.add(str(code))
                case ast.Call(func=ast.Name(id="Rule"), args=[_, ast.Constant(value=code), *_]):
                    found.add(str(code))
                case _:
                    pass
    # Those of the platform's configuration are in docs/platform.md.
    return {code for code in found if not code.startswith("PLT-")}


def test_the_codes_are_found() -> None:
    codes = error_codes()
    assert {"sql_parse_error", "no_slots", "session_lost", "gateway_unreachable", "internal", "key_required"} <= codes
    assert [code for code in codes if not _CODE.fullmatch(code)] == []


@pytest.mark.parametrize("code", sorted(error_codes()))
def test_every_error_code_is_documented(code: str) -> None:
    assert f"`{code}`" in TEXT


def test_every_rule_is_documented() -> None:
    rules = set(re.findall(r"V\d\d", validate.__doc__ or ""))
    assert len(rules) == 17
    assert [rule for rule in sorted(rules) if f"| {rule} |" not in TEXT] == []


@pytest.mark.parametrize("field", FIELDS)
def test_every_field_of_a_definition_is_documented(field: str) -> None:
    assert f"| `{field}` |" in TEXT


def test_every_command_is_documented() -> None:
    [entry] = [entry for entry in ENTRIES if entry.name == "sql"]
    known = load_command(entry).commands
    assert [name for name in known if f"`{name}`" not in TEXT and f"millrace sql {name}" not in TEXT] == []
    assert [name for name in NAMES if f"`{name}" not in TEXT] == []


def test_every_state_and_profile_is_documented() -> None:
    states = [state.value for state in QueryState if state is not QueryState.DELETED]
    assert [state for state in states if state not in TEXT] == []
    profiles = load_profiles(Settings().connector_profiles_path).profiles
    assert [name for name in profiles if f"`{name}`" not in TEXT] == []


def test_the_worked_example_is_the_one_in_the_repository() -> None:
    [shown] = re.findall(r"```sql\n(.*?)```", TEXT, re.DOTALL)
    query = shown.rpartition("-- ---\n")[2].strip()
    for name in ("revenue_per_zone", "revenue_per_zone_iceberg"):
        file = Path(ROOT, "flink_sql", "queries", f"{name}.sql").read_text(encoding="utf-8")
        assert file.strip().endswith(query)
