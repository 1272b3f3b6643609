"""References to secrets: every place that may hold a value, and the one message when none does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from orchestration.errors import ConfigError, MillraceError, SecretReferenceError
from orchestration.redaction import redact
from orchestration.secrets import SecretPlaces, SecretRef, find_pair, find_secret, resolve_secret, unresolved
from orchestration.settings import load_settings

NAME = "polaris-client-secret"
VARIABLE = "POLARIS_CLIENT_SECRET"
VALUE = "sec-value-47-planted"


def nothing(root: Path) -> None:
    """Leave the mount empty."""


def as_file(root: Path) -> None:
    (root / NAME).write_text(f"{VALUE}\n")


def as_folder_with_value(root: Path) -> None:
    (root / NAME / "..data").mkdir(parents=True)
    (root / NAME / "value").write_text(VALUE)
    (root / NAME / "other").write_text("not this one")


def as_folder_with_one_file(root: Path) -> None:
    (root / NAME).mkdir()
    (root / NAME / "password").write_text(f"{VALUE}\r\n")
    (root / NAME / "..hidden").write_text("Kubernetes' own")


def as_folder_with_two_files(root: Path) -> None:
    (root / NAME).mkdir()
    (root / NAME / "one").write_text(VALUE)
    (root / NAME / "two").write_text(VALUE)


@pytest.mark.parametrize(
    ("environ", "mount"),
    [
        pytest.param({VARIABLE: VALUE}, nothing, id="variable"),
        pytest.param({}, as_file, id="file"),
        pytest.param({}, as_folder_with_value, id="folder with value"),
        pytest.param({}, as_folder_with_one_file, id="folder with one other file"),
        pytest.param({VARIABLE: ""}, as_file, id="empty variable and a file"),
        pytest.param({VARIABLE: VALUE}, as_folder_with_two_files, id="the variable goes first"),
    ],
)
def test_a_value_is_found_and_never_shown(
    tmp_path: Path, environ: dict[str, str], mount: Callable[[Path], None]
) -> None:
    mount(tmp_path)
    places = SecretPlaces(environ, tmp_path)
    value = resolve_secret(NAME, places)
    assert value.get_secret_value() == VALUE
    assert VALUE not in f"{value!r} {value} {places!r}"
    assert VALUE not in redact(f"somebody says {VALUE}")


def test_two_files_are_ambiguous(tmp_path: Path) -> None:
    as_folder_with_two_files(tmp_path)
    with pytest.raises(ConfigError, match=r"ambiguous: .* holds one, two") as caught:
        resolve_secret(NAME, SecretPlaces({}, tmp_path))
    assert (caught.value.exit_code, caught.value.code) == (2, "PLT-SECRET-REF")


def test_a_missing_secret_names_every_place_and_who_knows(tmp_path: Path) -> None:
    places = SecretPlaces({VARIABLE: ""}, tmp_path, {"vault": lambda name: None})
    with pytest.raises(SecretReferenceError) as caught:
        resolve_secret(NAME, places, wanted_by="catalogs.default.credentials.client_secret", environment="prod")
    text = str(caught.value)
    for part in (NAME, "catalogs.default.credentials.client_secret", "environment prod", VARIABLE, "manager vault"):
        assert part in text
    assert str(tmp_path / NAME) in text
    assert "platform engineer" in text
    assert (caught.value.exit_code, caught.value.code) == (2, "PLT-SECRET-REF")


def test_all_missing_references_are_in_one_error(tmp_path: Path) -> None:
    error = unresolved([SecretRef("one", "a.b"), SecretRef("two", "c.d")], SecretPlaces({}, tmp_path, {}))
    assert [line.split(" has no")[0] for line in error.message.splitlines()] == [
        "the reference 'one' of a.b",
        "the reference 'two' of c.d",
    ]


def test_a_manager_is_asked_last(tmp_path: Path) -> None:
    asked: list[str] = []

    def vault(name: str) -> str | None:
        asked.append(name)
        return VALUE

    assert find_secret(NAME, SecretPlaces({VARIABLE: "first"}, tmp_path, {"vault": vault})) is not None
    assert asked == []
    found = find_secret(NAME, SecretPlaces({}, tmp_path, {"vault": vault}))
    assert found is not None
    assert found.get_secret_value() == VALUE
    assert asked == [NAME]


@pytest.mark.parametrize("name", ["", "-a", "a/b", "../a", "a" * 254, "a b"])
def test_a_name_is_not_a_path(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is not a name"):
        find_secret(name, SecretPlaces({}, tmp_path, {}))


def test_a_pair_comes_as_folder_json_or_text(tmp_path: Path) -> None:
    (tmp_path / "lake").mkdir()
    (tmp_path / "lake" / "access_key_id").write_text("key\n")
    (tmp_path / "lake" / "secret_access_key").write_text(VALUE)
    as_text = {"LAKE": f"key:{VALUE}"}
    as_json = {"LAKE": f'{{"access_key_id": "key", "secret_access_key": "{VALUE}"}}'}
    for environ in ({}, as_text, as_json):
        found = find_pair("lake", SecretPlaces(environ, tmp_path, {}))
        assert found is not None
        assert (found[0], found[1].get_secret_value()) == ("key", VALUE)
    assert find_pair("none", SecretPlaces({}, tmp_path, {})) is None
    for broken in ("keyonly", '{"access_key_id": "key"}', "{", ":secret"):
        with pytest.raises(MillraceError, match="is no pair") as caught:
            find_pair("lake", SecretPlaces({"LAKE": broken}, tmp_path / "empty", {}))
        assert caught.value.exit_code == 2


def test_settings_know_the_places_they_were_loaded_from(tmp_path: Path) -> None:
    environ = {VARIABLE: VALUE, "MILLRACE_SECRETS_DIR": str(tmp_path)}
    settings = load_settings(environ=environ, repo_root=tmp_path)
    assert resolve_secret(NAME, settings.secret_places).get_secret_value() == VALUE
    assert resolve_secret(NAME, settings.with_changes(batch_size=2).secret_places).get_secret_value() == VALUE
    assert settings.secret_places.mount_root == tmp_path
    assert VALUE not in repr(settings)
