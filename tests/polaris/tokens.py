"""Client credentials against short-lived tokens."""

from __future__ import annotations

import base64
import binascii
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote

_PREFIX = "PRINCIPAL_ROLE:"


class TokenRefusedError(Exception):
    """A token request that is refused; the words are those of Polaris' OAuthError."""

    def __init__(self, status: int, error: str, description: str) -> None:
        self.status, self.error, self.description = status, error, description
        super().__init__(error)


@dataclass(frozen=True)
class Client:
    """Id and secret of a principal."""

    client_id: str
    secret: str


@dataclass(frozen=True)
class Token:
    """What a token stands for; `roles` None means all roles of the principal."""

    value: str
    principal: str
    roles: frozenset[str] | None
    expires_at: float


@dataclass
class Tokens:
    """Gives tokens out and knows them again.

    Attributes:
        clients: principal -> its credentials.
        lifetime_s: of a token.
        gives: False refuses every new token as an unknown client.
    """

    clients: Mapping[str, Client]
    lifetime_s: float = 3600.0
    gives: bool = True
    clock: Callable[[], float] = time.monotonic
    _given: dict[str, Token] = field(default_factory=dict)

    def issue(self, authorization: str | None, body: bytes) -> Token:
        """Answer a token request, credentials in the form or as HTTP Basic.

        Raises:
            TokenRefusedError: as Polaris refuses it.
        """
        form = dict(parse_qsl(body.decode()))
        client_id, secret = _basic(authorization) or (form.get("client_id", ""), form.get("client_secret", ""))
        if not client_id or not secret:
            raise TokenRefusedError(400, "invalid_client", "The Client is invalid")
        if form.get("grant_type") != "client_credentials":
            raise TokenRefusedError(400, "invalid_grant", "The grant is invalid")
        scopes = form.get("scope", "").split()
        if not scopes or any(not one.startswith(_PREFIX) or one == _PREFIX for one in scopes):
            raise TokenRefusedError(400, "invalid_scope", "The scope is invalid")
        found = [name for name, client in self.clients.items() if client == Client(client_id, secret)]
        if not found or not self.gives:
            raise TokenRefusedError(401, "unauthorized_client", "The client is not authorized")
        roles = frozenset(one.removeprefix(_PREFIX) for one in scopes)
        token = Token(
            secrets.token_urlsafe(24), found[0], None if "ALL" in roles else roles, self.clock() + self.lifetime_s
        )
        self._given[token.value] = token
        return token

    def find(self, authorization: str | None) -> Token | None:
        """Return the token of an Authorization header, or None if it is unknown, revoked or expired."""
        token = self._given.get((authorization or "").removeprefix("Bearer ").strip())
        return token if token is not None and self.clock() < token.expires_at else None

    def revoke_all(self) -> None:
        """Forget every token before its time."""
        self._given.clear()


def _basic(authorization: str | None) -> tuple[str, str] | None:
    if not authorization or not authorization.startswith("Basic "):
        return None
    try:
        client_id, colon, secret = base64.b64decode(authorization.removeprefix("Basic ")).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return (unquote(client_id), unquote(secret)) if colon else None
