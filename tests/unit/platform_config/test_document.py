"""YAML with lines, and what an environment lays over a file."""

from __future__ import annotations

import pytest

from orchestration.platform_config.document import dotted, parse_document
from orchestration.platform_config.faults import TierError

TEXT = """\
version: 1.1.0
storage:
  default: {type: s3, bucket: shared-lake, region: eu-west-1}
layers:
  gold: {catalog_ref: default, namespace: gold}
environments:
  dev:
    storage:
      default:
        bucket: dev-lake
        region: null
    layers: null
  prod:
"""


def test_an_environment_is_merged_and_null_removes() -> None:
    document = parse_document(TEXT, "platform.yaml").overlaid(("environments", "dev"))
    assert document.data == {"version": "1.1.0", "storage": {"default": {"type": "s3", "bucket": "dev-lake"}}}
    assert document.where(("storage", "default", "bucket")) == "platform.yaml:10"
    assert document.where(("storage", "default", "type")) == "platform.yaml:3"


def test_an_environment_that_says_nothing_is_the_shared_part() -> None:
    document = parse_document(TEXT, "platform.yaml").overlaid(("environments", "prod"))
    assert sorted(document.data) == ["layers", "storage", "version"]


def test_overlaying_leaves_the_parsed_document_alone() -> None:
    document = parse_document(TEXT, "platform.yaml")
    document.overlaid(("environments", "dev"))
    assert document.data["storage"]["default"]["bucket"] == "shared-lake"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("", "f.yaml: the file is empty", id="empty"),
        pytest.param("- a\n", "f.yaml:1: this is not a mapping", id="list"),
        pytest.param("a: 1\nb: [\n", "f.yaml:3: this is not YAML", id="broken"),
        pytest.param("a: 1\na: 2\n", "f.yaml:2: at a, this key stands there twice", id="twice"),
        pytest.param("a: !!python/object:os.system x\n", "f.yaml:1: at a, this value has no plain type", id="code"),
    ],
)
def test_what_is_no_mapping_is_refused_with_its_line(text: str, message: str) -> None:
    with pytest.raises(TierError) as caught:
        parse_document(text, "f.yaml")
    assert caught.value.message.startswith(message)


def test_a_broken_line_is_not_shown() -> None:
    with pytest.raises(TierError) as caught:
        parse_document("a: planted: value\n", "f.yaml")
    assert "planted" not in str(caught.value)


def test_dates_stay_text() -> None:
    assert parse_document("start: 2024-01-01\n", "f.yaml").data == {"start": "2024-01-01"}


def test_paths_are_written_as_people_do() -> None:
    assert dotted(("transforms", 0, "path")) == "transforms[0].path"
