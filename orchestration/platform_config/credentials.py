"""Credentials by reference, for storage, catalogs and compute."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator, model_validator

from orchestration.platform_config.base import Reference, SecretName, Strict, Text


class Credentials(Strict):
    """How a client proves who it is. Values are never here, only names of secrets."""

    mode: Literal["static", "oauth2", "iam_role", "service_account"] = "static"
    client_id: Text | None = Field(default=None, description="oauth2: the id, or a reference to it")
    client_secret: Reference | None = Field(default=None, description="oauth2: a reference, never the value")
    scope: str | None = Field(default=None, description="oauth2: such as PRINCIPAL_ROLE:service_admin")
    role_arn: str | None = Field(default=None, description="iam_role: the role to take")
    secret_ref: SecretName | None = Field(default=None, description="static: name of the secret that holds the pair")

    @field_validator("client_secret", mode="before")
    @classmethod
    def _be_reference(cls, value: object) -> object:
        if value is not None and not isinstance(value, dict | Reference):
            raise ValueError(
                "it is a literal, and secrets never stand in a file | put the value into a secret and its name here, "
                "under secret_ref"
            )
        return value

    @model_validator(mode="after")
    def _hold_together(self) -> Credentials:
        if self.mode == "oauth2":
            missing = [name for name in ("client_id", "client_secret") if getattr(self, name) is None]
            if missing:
                raise ValueError(f"mode oauth2 needs {' and '.join(missing)} | add it, by reference")
        elif self.client_id is not None or self.client_secret is not None:
            raise ValueError(f"client_id and client_secret belong to mode oauth2, not {self.mode} | set mode oauth2")
        if self.mode == "iam_role" and not self.role_arn:
            raise ValueError("mode iam_role needs role_arn | add the ARN of the role")
        if self.mode != "iam_role" and self.role_arn:
            raise ValueError(f"role_arn belongs to mode iam_role, not {self.mode} | set mode iam_role, or remove it")
        if self.secret_ref is not None and self.mode != "static":
            raise ValueError(f"secret_ref belongs to mode static, not {self.mode} | set mode static, or remove it")
        return self
