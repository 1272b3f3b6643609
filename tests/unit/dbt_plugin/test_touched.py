"""What a table remembers of the build before: read back, and when it counts."""

from __future__ import annotations

import pytest

from orchestration.dbt_plugin.writing.touched import Origin, code_hash, origin_of

ORIGIN = Origin("silver.trips", 7 * 10**18, "abc", None)


def test_an_origin_is_read_as_it_was_written() -> None:
    assert origin_of(ORIGIN.to_text()) == ORIGIN


@pytest.mark.parametrize("text", [None, "", "torn", "[]", "7", '{"source": "s"}', '{"other": 1}'])
def test_what_is_no_origin_is_none(text: str | None) -> None:
    assert origin_of(text) is None


def test_the_code_is_the_same_with_and_without_the_changed_dates() -> None:
    whole = "select 1\nfrom t\nwhere true"
    part = "select 1 from t where t.day in (select changed_date from m__changed_dates)"
    assert code_hash(part, "m__changed_dates", ["v"]) == code_hash(whole, "m__changed_dates", ["v"])


@pytest.mark.parametrize(
    ("sql", "above"),
    [
        ("select 2 from t", ("v",)),
        ("select 1 from t", ("w",)),
        ("select 1 from t", ("v", "w")),
        ("select 1 from t", ()),
    ],
)
def test_other_code_has_another_hash(sql: str, above: tuple[str, ...]) -> None:
    assert code_hash(sql, None, above) != code_hash("select 1 from t", None, ("v",))
