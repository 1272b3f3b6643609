"""The gateway itself: it must refuse what Polaris refuses, or the tests behind it prove nothing."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest

from tests.polaris.gateway import Polaris, make_polaris
from tests.polaris.operations import operations_of

BASE = "http://polaris/api/catalog/v1"


class Client:
    """Requests to a gateway that is not served; nothing listens behind it."""

    def __init__(self, polaris: Polaris) -> None:
        self.polaris = polaris

    def send(self, method: str, path: str, **more: Any) -> httpx.Response:
        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(app=self.polaris)
            async with httpx.AsyncClient(transport=transport) as client:
                return await client.request(method, f"{BASE}/{path}", **more)

        return asyncio.run(ask())

    def token(self, principal: str = "millrace-dbt", **form: str) -> httpx.Response:
        client = self.polaris.client(principal)
        data = {
            "grant_type": "client_credentials",
            "client_id": client.client_id,
            "client_secret": client.secret,
            "scope": "PRINCIPAL_ROLE:ALL",
        }
        return self.send("POST", "oauth/tokens", data=data | form)

    def bearer(self, principal: str = "millrace-dbt", **form: str) -> dict[str, str]:
        return {"authorization": f"Bearer {self.token(principal, **form).json()['access_token']}"}


@pytest.fixture
def client() -> Client:
    return Client(make_polaris("http://127.0.0.1:1"))


@pytest.mark.parametrize(
    ("form", "status", "error"),
    [
        pytest.param({"client_secret": "other"}, 401, "unauthorized_client", id="wrong-secret"),
        pytest.param({"client_id": ""}, 400, "invalid_client", id="no-id"),
        pytest.param({"scope": ""}, 400, "invalid_scope", id="no-scope"),
        pytest.param({"scope": "catalog"}, 400, "invalid_scope", id="other-scope"),
        pytest.param({"grant_type": "password"}, 400, "invalid_grant", id="other-grant"),
    ],
)
def test_a_token_is_refused_in_polaris_words(client: Client, form: dict[str, str], status: int, error: str) -> None:
    answer = client.token(**form)
    assert (answer.status_code, answer.json()["error"]) == (status, error)


def test_credentials_are_taken_as_http_basic_too(client: Client) -> None:
    given = client.polaris.client()
    form = {"grant_type": "client_credentials", "scope": "PRINCIPAL_ROLE:ALL"}
    answer = client.send("POST", "oauth/tokens", data=form, auth=(given.client_id, given.secret))
    assert answer.status_code == 200


@pytest.mark.parametrize(
    ("path", "status"),
    [
        pytest.param("config?warehouse=nowhere", 404, id="warehouse"),
        pytest.param("nowhere/namespaces", 404, id="prefix"),
        pytest.param("lakehouse/nonsense", 404, id="endpoint"),
        pytest.param("lakehouse/namespaces/bronze/tables", 403, id="grant"),
    ],
)
def test_what_is_not_there_or_not_granted_is_refused(client: Client, path: str, status: int) -> None:
    assert client.send("GET", path, headers=client.bearer()).status_code == status


def test_nothing_but_tokens_is_given_without_a_token(client: Client) -> None:
    assert client.send("GET", "config?warehouse=lakehouse").status_code == 401


def test_a_token_ends_with_its_time_and_when_it_is_revoked() -> None:
    now = [0.0]
    client = Client(make_polaris("http://127.0.0.1:1", lifetime_s=5.0))
    client.polaris.tokens.clock = lambda: now[0]
    old, path = client.bearer(), "lakehouse/namespaces/bronze/tables"
    assert client.send("GET", path, headers=old).status_code == 403
    now[0] = 5.0
    assert client.send("GET", path, headers=old).status_code == 401
    new = client.bearer()
    client.polaris.tokens.revoke_all()
    assert client.send("GET", path, headers=new).status_code == 401


def test_a_token_for_a_role_that_the_principal_has_not_may_nothing(client: Client) -> None:
    bearer = client.bearer(scope="PRINCIPAL_ROLE:millrace_flink")
    assert client.send("GET", "lakehouse/namespaces", headers=bearer).status_code == 403


def test_the_realm_is_needed_for_tokens_too(client: Client) -> None:
    client.polaris.realm = "r1"
    assert client.token().status_code == 404


def test_faults_come_first_and_end(client: Client) -> None:
    client.polaris.fail(path="oauth/tokens", status=503, times=2)
    assert [client.token().status_code for _ in range(3)] == [503, 503, 200]
    assert [one.status for one in client.polaris.seen("tokens")] == [503, 503, 200]


ROWS = [
    pytest.param("GET", "namespaces/a/tables/t", {}, ["LOAD_TABLE"], ["TABLE_READ_PROPERTIES"], id="load"),
    pytest.param("POST", "namespaces/a/tables", {"name": "t"}, ["CREATE_TABLE_DIRECT"], ["TABLE_CREATE"], id="create"),
    pytest.param(
        "POST", "namespaces/a/tables/t", {"requirements": []}, ["UPDATE_TABLE"], ["TABLE_WRITE_PROPERTIES"], id="commit"
    ),
    pytest.param(
        "POST",
        "namespaces/a/tables/t",
        {"requirements": [{"type": "assert-create"}]},
        ["UPDATE_TABLE_FOR_STAGED_CREATE"],
        ["TABLE_CREATE"],
        id="commit-of-a-staged-create",
    ),
    pytest.param(
        "POST",
        "transactions/commit",
        {"table-changes": [{"identifier": {"namespace": ["a"], "name": "t"}}]},
        ["COMMIT_TRANSACTION"],
        ["TABLE_WRITE_PROPERTIES", "TABLE_CREATE"],
        id="transaction",
    ),
    pytest.param("DELETE", "namespaces/a/tables/t", {}, ["DROP_TABLE_WITHOUT_PURGE"], ["TABLE_DROP"], id="drop"),
]


@pytest.mark.parametrize(("method", "path", "body", "names", "needs"), ROWS)
def test_each_request_needs_the_privileges_of_its_operation(
    method: str, path: str, body: dict[str, Any], names: list[str], needs: list[str]
) -> None:
    found = operations_of(method, path, "", json.dumps(body).encode(), wants_vending=False)
    assert [one.name for one in found] == names
    assert [need for one in found for need in one.needs] == needs
    assert {one.namespace for one in found} == {"a"}
