"""A REST catalog in the shape of Apache Polaris, in front of one that checks nothing.

Paths, token answers and error bodies are those of Polaris' catalog API; who may do what is read from
platform/polaris/setup.yaml. Everything that is allowed goes on to the real catalog.
"""

from __future__ import annotations

import asyncio
import json
import re
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from orchestration.settings.model import checkout
from orchestration.waiting import wait_for
from tests.polaris.grants import Principal, load_setup, principals_of
from tests.polaris.operations import Operation, operations_of
from tests.polaris.tokens import Client, Token, TokenRefusedError, Tokens

SETUP = checkout() / "platform" / "polaris" / "setup.yaml"
PREFIX = "/api/catalog"
TOKEN_PATH = "v1/oauth/tokens"
_HOP = frozenset({"host", "content-length", "connection", "transfer-encoding", "authorization", "accept-encoding"})

Vend = Callable[[str, str], Mapping[str, str]]
"""Namespace and table to the storage configuration that loadTable answers with."""


@dataclass(frozen=True)
class Recorded:
    """One request as it came in; no secret is kept of a token request but its form."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes
    status: int
    principal: str | None


@dataclass
class Fault:
    """What is answered instead, for the next `times` requests whose path matches.

    Attributes:
        status: None only delays the request.
    """

    path: str = ".*"
    method: str = ".*"
    status: int | None = None
    times: int = 1
    delay_s: float = 0.0
    code: str = "ServiceUnavailableException"
    message: str = "told so by a test"


@dataclass
class Polaris:
    """The gateway, and what a test tells it.

    Attributes:
        upstream: address of the real catalog.
        warehouses: names that it has; others are not found.
        realm: that the realm header must name; None: no header is needed.
        revoked: (principal role, privilege, namespace) taken away from everybody.
        faults: answered first, in their order.
        vend: adds storage credentials to a table, for clients that ask for them.
    """

    upstream: str
    principals: dict[str, Principal]
    tokens: Tokens
    warehouses: frozenset[str] = frozenset({"lakehouse"})
    realm: str | None = None
    vend: Vend | None = None
    faults: list[Fault] = field(default_factory=list)
    requests: list[Recorded] = field(default_factory=list)
    forbidden: set[tuple[str, str]] = field(default_factory=set)
    url: str = ""

    def client(self, principal: str = "millrace") -> Client:
        """Return the credentials of a principal."""
        return self.tokens.clients[principal]

    def fail(self, **changes: Any) -> None:
        """Answer the next matching requests with a fault; see `Fault`."""
        self.faults.append(Fault(**changes))

    def forbid(self, operation: str, table: str) -> None:
        """Refuse an operation on `namespace.table` (or on `namespace`) to everybody."""
        self.forbidden.add((operation, table))

    def clear(self) -> None:
        """Forget faults, refusals and what was recorded; give tokens again."""
        self.faults.clear()
        self.forbidden.clear()
        self.requests.clear()
        self.tokens.gives = True

    def seen(self, path: str, method: str = ".*") -> list[Recorded]:
        """Return the recorded requests whose path holds the pattern."""
        return [one for one in self.requests if re.search(path, one.path) and re.fullmatch(method, one.method)]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI event."""
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        body = await request.body()
        token = self.tokens.find(request.headers.get("authorization"))
        response = await self._answer(request, body, token)
        self.requests.append(
            Recorded(
                request.method,
                _raw_path(request),
                request.url.query,
                dict(request.headers),
                body,
                response.status_code,
                token.principal if token else None,
            )
        )
        await response(scope, receive, send)

    async def _answer(self, request: Request, body: bytes, token: Token | None) -> Response:
        path = _raw_path(request)
        for fault in self.faults:
            if fault.times > 0 and re.search(fault.path, path) and re.fullmatch(fault.method, request.method):
                fault.times -= 1
                await asyncio.sleep(fault.delay_s)
                if fault.status is not None:
                    return _error(fault.status, fault.code, fault.message)
                break
        if not path.startswith(f"{PREFIX}/v1/"):
            return _error(404, "NotFoundException", f"no resource under {path}")
        if self.realm is not None and request.headers.get("polaris-realm") != self.realm:
            return _error(404, "NotFoundException", "Missing or invalid realm")
        rest = path.removeprefix(f"{PREFIX}/")
        if rest == TOKEN_PATH:
            return self._token(request, body)
        if token is None:
            return _error(401, "NotAuthorizedException", "Failed to verify the token")
        if rest == "v1/config":
            return await self._config(request)
        _, warehouse, *more = rest.split("/")
        if warehouse not in self.warehouses:
            return _error(404, "NotFoundException", f"Unable to find warehouse {warehouse}")
        return await self._catalog(request, body, token, "/".join(more))

    def _token(self, request: Request, body: bytes) -> Response:
        try:
            token = self.tokens.issue(request.headers.get("authorization"), body)
        except TokenRefusedError as error:
            return JSONResponse({"error": error.error, "error_description": error.description}, error.status)
        return JSONResponse(
            {
                "access_token": token.value,
                "token_type": "bearer",
                "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
                "expires_in": int(self.tokens.lifetime_s),
            }
        )

    async def _config(self, request: Request) -> Response:
        warehouse = request.query_params.get("warehouse", "")
        if warehouse not in self.warehouses:
            return _error(404, "NotFoundException", f"Unable to find warehouse {warehouse}")
        async with _upstream() as client:
            answer = (await client.get(f"{self.upstream}/v1/config")).json()
        answer["overrides"] = {**answer.get("overrides", {}), "prefix": warehouse}
        return JSONResponse(answer)

    async def _catalog(self, request: Request, body: bytes, token: Token, path: str) -> Response:
        vends = "vended-credentials" in request.headers.get("x-iceberg-access-delegation", "")
        wanted = operations_of(request.method, path, request.url.query, body, wants_vending=vends)
        if not wanted:
            return _error(404, "NotFoundException", f"no endpoint {request.method} {path}")
        principal = self.principals[token.principal]
        for operation in wanted:
            if not self._allows(principal, token, operation):
                if await self._is_missing(operation):
                    return _error(404, "NoSuchTableException", f"Table does not exist: {_object(operation)}")
                return _error(403, "ForbiddenException", _refusal(principal, token, operation))
        answer = await self._forward(request, body, path)
        return self._with_credentials(answer, wanted[0]) if vends and self.vend else answer

    def _allows(self, principal: Principal, token: Token, operation: Operation) -> bool:
        for name in (operation.namespace, f"{operation.namespace}.{operation.table}"):
            if (operation.name, name) in self.forbidden:
                return False
        return all(principal.allows(token.roles, needed, operation.namespace) for needed in operation.needs)

    async def _is_missing(self, operation: Operation) -> bool:
        """Whether the table does not exist: Polaris looks for it before it looks at grants."""
        if operation.table is None:
            return False
        async with _upstream() as client:
            url = f"{self.upstream}/v1/namespaces/{operation.namespace}/tables/{operation.table}"
            return (await client.head(url)).status_code == 404

    async def _forward(self, request: Request, body: bytes, path: str) -> Response:
        headers = {name: value for name, value in request.headers.items() if name not in _HOP}
        query = f"?{request.url.query}" if request.url.query else ""
        async with _upstream() as client:
            answer = await client.request(
                request.method, f"{self.upstream}/v1/{path}{query}", content=body, headers=headers
            )
        kept = {"content-type": answer.headers["content-type"]} if "content-type" in answer.headers else {}
        return Response(answer.content, answer.status_code, kept)

    def _with_credentials(self, answer: Response, operation: Operation) -> Response:
        if answer.status_code != 200 or "TABLE" not in operation.name or self.vend is None:
            return answer
        content = json.loads(answer.body)
        if "metadata" not in content:
            return answer
        table = operation.table or content["metadata"]["location"].rstrip("/").rpartition("/")[2]
        content["config"] = {**content.get("config", {}), **self.vend(operation.namespace or "", table)}
        return JSONResponse(content)


def _upstream() -> httpx.AsyncClient:
    # Without verify=False each client would read the system's certificates: 30 ms for every request.
    return httpx.AsyncClient(trust_env=False, verify=False, timeout=60)


def _raw_path(request: Request) -> str:
    """The path with its percent signs: `%1F` separates the levels of a namespace."""
    return request.scope["raw_path"].decode().partition("?")[0]


def _object(operation: Operation) -> str:
    return ".".join(part for part in (operation.namespace, operation.table) if part)


def _refusal(principal: Principal, token: Token, operation: Operation) -> str:
    roles = sorted(role for role in principal.privileges if token.roles is None or role in token.roles)
    return (
        f"Principal '{principal.name}' with activated PrincipalRoles '{roles}' and activated grants via '{roles}' "
        f"is not authorized for op {operation.name}"
    )


def _error(status: int, kind: str, message: str) -> Response:
    return JSONResponse({"error": {"message": message, "type": kind, "code": status}}, status)


def make_polaris(
    upstream: str, *, setup: Path = SETUP, secret: str = "s3cr3t-of-{name}", catalog: str = "lakehouse", **more: Any
) -> Polaris:
    """Return a gateway that is not served yet; client ids are `<principal>-id`.

    Args:
        secret: form of the client secrets.
        catalog: of the setup, whose grants count for every warehouse.
        more: attributes of `Polaris`, and `lifetime_s` of the tokens.
    """
    principals = principals_of(load_setup(setup), catalog)
    clients = {name: Client(f"{name}-id", secret.format(name=name)) for name in principals}
    lifetime_s = more.pop("lifetime_s", 3600.0)
    return Polaris(upstream.rstrip("/"), principals, Tokens(clients, lifetime_s), **more)


@contextmanager
def serve(polaris: Polaris) -> Iterator[Polaris]:
    """Serve the gateway on a free loopback port, in a thread; `url` is the base for clients."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        config = uvicorn.Config(polaris, log_level="critical", lifespan="off", ws="none", timeout_graceful_shutdown=1)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        wait_for(lambda: (server.started or None, "starting"), what="the gateway", timeout_s=30)
        polaris.url = f"http://127.0.0.1:{port}{PREFIX}"
        try:
            yield polaris
        finally:
            server.should_exit = True
            thread.join(timeout=30)


@contextmanager
def open_polaris(upstream: str, **more: Any) -> Iterator[Polaris]:
    """Serve a gateway in front of the catalog at `upstream`; see `make_polaris`."""
    with serve(make_polaris(upstream, **more)) as polaris:
        yield polaris
