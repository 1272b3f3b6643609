"""The header that says which row of which file an event is."""

from __future__ import annotations

import pytest

from orchestration.generator.identity import FileIdentity, parse_source

SHA = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("attempt", "text"), [(0, "0123456789abcdef"), (2, "0123456789abcdef#2")], ids=["first", "again"]
)
def test_the_identity_is_the_content_and_the_attempt(attempt: int, text: str) -> None:
    assert FileIdentity(SHA, attempt).text == text
    assert parse_source(f"{text}/77".encode()) == (text, 77)


@pytest.mark.parametrize("header", [None, b"", b"x", b"x/", b"x/-1", b"x/1a", b"\xff/1"])
def test_a_foreign_header_is_no_identity(header: bytes | None) -> None:
    assert parse_source(header) is None
