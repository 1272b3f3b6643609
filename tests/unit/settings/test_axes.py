import itertools

import pytest

from orchestration.errors import ConfigError
from orchestration.settings import Settings
from tests.unit.settings.samples import NEEDED, POLARIS, refusal

AXES = {
    "broker": ("kafka", "redpanda"),
    "catalog": ("rest", "polaris", "hadoop"),
    "storage": ("file", "s3", "gcs", "azure"),
    "mode": ("batch", "streaming"),
}


def test_the_defaults_of_the_axes_are_the_local_stack() -> None:
    settings = Settings()
    assert [getattr(settings, axis) for axis in AXES] == ["kafka", "rest", "file", "batch"]


@pytest.mark.parametrize(
    ("axis", "value"), [(axis, value) for axis, values in AXES.items() for value in ("", "x", values[0].upper())]
)
def test_cfg_10_a_value_outside_the_list_is_refused_with_the_list(axis: str, value: str) -> None:
    message = refusal(**{axis: value})
    assert f"{axis.upper()}={value!r} is refused" in message
    assert all(known in message for known in AXES[axis])


@pytest.mark.parametrize(("axis", "value"), [("broker", "redpanda"), ("mode", "streaming"), ("catalog", "hadoop")])
def test_cfg_08_blanks_around_an_axis_value_are_stripped(axis: str, value: str) -> None:
    assert getattr(Settings(**{axis: f"  {value}\t"}), axis) == value


@pytest.mark.parametrize(
    ("values", "new"),
    [
        ({"storage": "minio"}, "STORAGE=s3 with S3_ENDPOINT=http://<host>:9000 (profile minio)"),
        ({"storage": "aws_s3"}, "STORAGE=s3"),
        ({"mode": "streaming_bronze"}, "MODE=streaming"),
    ],
    ids=["minio", "aws_s3", "streaming_bronze"],
)
def test_an_old_spelling_is_refused_with_the_new_one(values: dict[str, str], new: str) -> None:
    (axis, old), *_ = values.items()
    assert refusal(**values) == f"{axis.upper()}={old!r} is refused: it is now spelled {new}"


COMBINATIONS = [dict(zip(AXES, combination, strict=True)) for combination in itertools.product(*AXES.values())]


@pytest.mark.parametrize("axes", COMBINATIONS, ids=lambda axes: "-".join(axes.values()))
def test_every_combination_of_axes_is_valid_with_what_it_needs(axes: dict[str, str]) -> None:
    settings = Settings(**{**NEEDED.get(axes["storage"], {}), **NEEDED.get(axes["catalog"], {}), **axes})
    assert {axis: getattr(settings, axis) for axis in AXES} == axes


@pytest.mark.parametrize("axes", COMBINATIONS, ids=lambda axes: "-".join(axes.values()))
def test_every_combination_of_axes_alone_is_valid_or_refused_with_a_named_reason(axes: dict[str, str]) -> None:
    expected = set[str]()
    if axes["storage"] != "file":
        expected.add("WAREHOUSE is empty")
    if axes["catalog"] == "polaris":
        expected |= {"CATALOG=polaris needs CATALOG_URI", "CATALOG=polaris: CATALOG_CLIENT_ID is not set"}
    if axes["catalog"] == "rest" and axes["storage"] in {"gcs", "azure"}:
        expected.add("CATALOG=rest needs CATALOG_URI")
    if not expected:
        Settings(**axes)
        return
    message = refusal(**axes)
    assert len(message.splitlines()) == len(expected)
    assert all(reason in message for reason in expected)


def test_a_hadoop_catalog_is_read_and_not_written() -> None:
    with pytest.raises(
        ConfigError, match="CATALOG=hadoop is for reading and migrating tables only: its commits are file"
    ):
        Settings(catalog="hadoop").require_writable_catalog()


@pytest.mark.parametrize("values", [{}, POLARIS], ids=["rest", "polaris"])
def test_a_rest_catalog_is_writable(values: dict[str, str]) -> None:
    Settings(**values).require_writable_catalog()
