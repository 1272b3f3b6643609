"""Types that both tiers use."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Discriminator, Field, Tag

from orchestration.secrets import NAME

_VERSION = re.compile(r"\d+\.\d+\.\d+")
_PROFILE = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,99}")
_URL = re.compile(r"https?://[A-Za-z0-9.\-\[\]:]+(/\S*)?")


class Strict(BaseModel):
    """A frozen part of a file; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


def _be_version(value: str) -> str:
    if not _VERSION.fullmatch(value):
        raise ValueError(f"{value!r} is no version | write three numbers such as 1.1.0")
    return value


def be_name(value: str) -> str:
    """Return `value` if it is a name.

    Raises:
        ValueError: it is not.
    """
    if not _PROFILE.fullmatch(value):
        raise ValueError(
            f"{value!r} is no name | a letter first, then letters, digits, _ and -, at most 100 characters, no blanks"
        )
    return value


def _be_secret_name(value: str) -> str:
    if not NAME.fullmatch(value):
        raise ValueError(
            "this is no name of a secret | a letter or digit first, then letters, digits, _ and -; no value"
        )
    return value


def _be_url(value: str) -> str:
    if "@" in value:
        raise ValueError("the address holds a user name | give credentials by reference")
    if not _URL.fullmatch(value):
        raise ValueError(f"{value!r} is no address | write it with scheme, such as https://catalog.example.com")
    return value.rstrip("/")


Version = Annotated[str, AfterValidator(_be_version), Field(description="three numbers, such as 1.1.0")]
Name = Annotated[str, AfterValidator(be_name), Field(description="a letter, then letters, digits, _ and -")]
SecretName = Annotated[str, AfterValidator(_be_secret_name), Field(description="name of a secret, never its value")]
Url = Annotated[str, AfterValidator(_be_url), Field(description="address with scheme")]


class Reference(Strict):
    """The name of a secret in place of its value."""

    secret_ref: SecretName


def _be_catalog_uri(value: str) -> str:
    return value if value == EMBEDDED else _be_url(value)


def _kind(value: object) -> str:
    return "reference" if isinstance(value, dict | Reference) else "text"


EMBEDDED = "embedded"
"""In place of an address: the service that `millrace up` starts, wherever its port is."""

_Ref = Annotated[Reference, Tag("reference")]
Text = Annotated[Annotated[str, Tag("text")] | _Ref, Discriminator(_kind)]
Endpoint = Annotated[Annotated[Url, Tag("text")] | _Ref, Discriminator(_kind)]
CatalogUri = Annotated[
    Annotated[str, AfterValidator(_be_catalog_uri), Field(description="address, or embedded"), Tag("text")] | _Ref,
    Discriminator(_kind),
]
