"""Where a query asks its rows to be written."""

from __future__ import annotations

from pydantic import Field, ValidationInfo, field_validator

from orchestration.flink.tables.stored_options import OptionValue, StoredModel, options_in, refuse_secrets


class SinkRequest(StoredModel):
    """Where the rows of a query go.

    Attributes:
        profile: name of a connector profile; `auto` chooses by the query's changes.
        table: name or path of the table; None: derived from the query's name and id.
        options: connector options over those of the profile. Secrets as `env:NAME` or `file:/path`.
        partitioned_by: columns that the table is partitioned by.
        key_columns: primary key; empty: taken from the plan.
        ddl: the whole CREATE TABLE, when nothing is to be generated.
        keep_char: keep CHAR(n) and VARCHAR(n) where STRING is the default.
        auto_alias: call unnamed expressions c<n> where the default is to refuse them.
    """

    profile: str = Field(default="auto", min_length=1, max_length=100)
    table: str | None = Field(default=None, min_length=1, max_length=500)
    options: dict[str, OptionValue] = Field(default_factory=dict[str, str])
    partitioned_by: tuple[str, ...] = ()
    key_columns: tuple[str, ...] = ()
    ddl: str | None = None
    keep_char: bool = False
    auto_alias: bool = False

    @field_validator("options")
    @classmethod
    def _options_hold_no_secret(cls, options: dict[str, str], info: ValidationInfo) -> dict[str, str]:
        refuse_secrets(options, info)
        return options

    @field_validator("ddl")
    @classmethod
    def _ddl_holds_no_secret(cls, ddl: str | None, info: ValidationInfo) -> str | None:
        refuse_secrets(options_in(ddl or ""), info)
        return ddl
