from pathlib import Path

import pytest

from orchestration import redaction
from orchestration.errors import ConfigError
from orchestration.settings import Settings, load_settings
from orchestration.settings.model import SECRET
from orchestration.settings.problems import SettingsError
from tests.unit.settings.samples import PLANTED


def test_a_refusal_names_the_source_of_the_value(checkout: Path) -> None:
    (checkout / ".env").write_text("# local: x\nKAFKA_PORT=x\n")
    with pytest.raises(SettingsError) as caught:
        load_settings(environ={"UI_PORT": "y"}, repo_root=checkout)
    assert caught.value.message.splitlines() == [
        "KAFKA_PORT='x' is refused: write a whole number [.env]",
        "UI_PORT='y' is refused: write a whole number [environment]",
    ]


def test_a_refusal_carries_all_values_for_show_and_no_secret(checkout: Path) -> None:
    environ = {"KAFKA_PORT": "x", "AWS_SECRET_ACCESS_KEY": PLANTED, "AWS_ACCESS_KEY_ID": "k"}
    with pytest.raises(SettingsError) as caught:
        load_settings(environ=environ, repo_root=checkout)
    assert caught.value.values is not None
    assert caught.value.values["kafka_port"] == "x"
    assert caught.value.values["aws_secret_access_key"] == redaction.MASK
    assert set(caught.value.values) == set(Settings.model_fields)


@pytest.mark.parametrize("field", sorted(SECRET))
def test_a_secret_is_in_no_text_made_of_settings(field: str) -> None:
    # A key comes with its id, a session token with both.
    others = {"aws_access_key_id": "k", "aws_secret_access_key": "s", "minio_root_user": "k"}
    others |= {"catalog_client_id": "id", "catalog_client_secret": "s"}
    settings = Settings(**{**others, field: PLANTED})
    shown = [str(settings), repr(settings), settings.model_dump_json(), settings.redacted_dump(), settings.warnings()]
    assert PLANTED not in str(shown)
    assert getattr(settings, field).get_secret_value() == PLANTED


def test_a_loaded_secret_is_in_no_later_error(checkout: Path) -> None:
    environ = {"AWS_SECRET_ACCESS_KEY": PLANTED, "AWS_ACCESS_KEY_ID": "k"}
    load_settings(environ=environ, repo_root=checkout)
    assert PLANTED not in str(ConfigError(f"the store said: {PLANTED} is wrong"))
