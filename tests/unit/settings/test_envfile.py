from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestration.errors import ConfigError
from orchestration.settings.envfile import parse_env, read_env_file


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("A=b", "b"),
        ("  A  =  b  ", "b"),
        ("A=b=c==", "b=c=="),
        ("A=", ""),
        ("A=b # note", "b"),
        ("A=b#c", "b#c"),
        ("A=b\t# note", "b"),
        ("A= # note", ""),
        ("A=#b", ""),
        ("A='b # c'", "b # c"),
        ('A=" b "', " b "),
        ("A='b' # note", "b"),
        ("A='say \"x\"'", 'say "x"'),
        ("A=it's", "it's"),
        ("A=${HOME}/x", "${HOME}/x"),
        ("A=$HOME `x` $(x)", "$HOME `x` $(x)"),
        ("A=größe ☃", "größe ☃"),
        ("A=b\\n", "b\\n"),
        ("export A=b", "b"),
        ("A=b\r", "b"),
        ("\ufeffA=b", "b"),
        ("A=x\nA=b", "b"),
    ],
    ids=repr,
)
def test_cfg_07_a_line_of_a_file_gives_its_value_as_it_is(line: str, value: str) -> None:
    assert parse_env(line) == {"A": value}


@pytest.mark.parametrize("text", ["", "\n\n", "# A=b", "   # A=b", "\t"], ids=repr)
def test_cfg_07_blank_lines_and_comments_give_nothing(text: str) -> None:
    assert parse_env(text) == {}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("A=b\nhunter22", "profile, line 2: not of the form NAME=value"),
        ("a b=c", "profile, line 1: not of the form NAME=value"),
        ("=b", "profile, line 1: not of the form NAME=value"),
        ("A='b", "profile, line 1: A opens a quote ' and does not close it"),
        ("A='b'c", "profile, line 1: A has text after its closing quote '"),
    ],
    ids=repr,
)
def test_cfg_07_a_malformed_line_is_refused_by_its_number_and_not_shown(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_env(text, "profile")
    assert caught.value.message == said


def test_cfg_07_a_missing_file_gives_an_empty_set(tmp_path: Path) -> None:
    assert read_env_file(tmp_path / "none" / "missing.env") == {}


def test_a_file_that_is_not_text_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "x.env"
    path.write_bytes(b"A=\xff\xfe")
    with pytest.raises(ConfigError, match=r"x\.env is not UTF-8 text \(byte 2\)"):
        read_env_file(path)


@given(st.text(st.characters(exclude_characters="\"'", exclude_categories=["Cs", "Cc", "Zl", "Zp"]), max_size=30))
def test_a_quoted_value_survives_whatever_it_holds(value: str) -> None:
    assert parse_env(f"A='{value}'\nB=\"{value}\"") == {"A": value, "B": value}
