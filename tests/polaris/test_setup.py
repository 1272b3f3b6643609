"""platform/polaris/setup.yaml, checked without a server: by the models and the command of Polaris' own client."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from apache_polaris.cli.command import setup as setup_command
from apache_polaris.cli.command.setup import SetupCommand
from apache_polaris.sdk.catalog.exceptions import NotFoundException
from apache_polaris.sdk.management import models

from orchestration.contracts import load_contract
from orchestration.naming import LEDGER_TABLE, REPLAY_TABLE
from orchestration.settings.model import checkout
from tests.polaris.gateway import SETUP
from tests.polaris.grants import IMPLIED_BY, load_setup, principals_of

DBT_PROJECT = checkout() / "dbt" / "dbt_project.yml"
# What no step needs: handing out grants, dropping namespaces, and whatever covers everything.
TOO_MUCH = {
    "CATALOG_MANAGE_ACCESS",
    "CATALOG_MANAGE_CONTENT",
    "CATALOG_MANAGE_METADATA",
    "NAMESPACE_DROP",
    "NAMESPACE_FULL_METADATA",
    "TABLE_FULL_METADATA",
}


@pytest.fixture(scope="module")
def setup() -> dict[str, Any]:
    return load_setup(SETUP)


@pytest.fixture(scope="module")
def catalog(setup: dict[str, Any]) -> dict[str, Any]:
    [found] = setup["catalogs"]
    return found


def granted(catalog: dict[str, Any]) -> Iterator[tuple[str, str | None, str]]:
    for role, given in catalog["roles"].items():
        for privilege in given["privileges"].get("catalog", []):
            yield role, None, privilege
        for namespace, privileges in given["privileges"].get("namespace", {}).items():
            yield from ((role, namespace, privilege) for privilege in privileges)


def test_every_grant_is_one_of_polaris(catalog: dict[str, Any]) -> None:
    for _, namespace, privilege in granted(catalog):
        if namespace is None:
            models.CatalogGrant(type="catalog", privilege=models.CatalogPrivilege(privilege))
        else:
            models.NamespaceGrant(
                type="namespace", namespace=namespace.split("."), privilege=models.NamespacePrivilege(privilege)
            )


def test_principals_roles_and_catalog_are_what_the_management_api_takes(
    setup: dict[str, Any], catalog: dict[str, Any]
) -> None:
    for name, given in setup["principals"].items():
        models.Principal(name=name, properties=given["properties"])
    for name in setup["principal_roles"]:
        models.PrincipalRole(name=name)
    for name, given in catalog["roles"].items():
        models.CatalogRole(name=name, properties=given["properties"])
    storage = models.AwsStorageConfigInfo(
        storage_type=catalog["storage_type"].upper(),
        allowed_locations=catalog["allowed_locations"],
        role_arn=catalog["role_arn"],
        region=catalog["region"],
    )
    models.PolarisCatalog(
        type=catalog["type"].upper(),
        name=catalog["name"],
        properties=models.CatalogProperties(default_base_location=catalog["default_base_location"]),
        storage_config_info=storage,
    )


def test_every_role_that_is_named_is_defined(setup: dict[str, Any], catalog: dict[str, Any]) -> None:
    known = set(setup["principal_roles"])
    assert {role for given in setup["principals"].values() for role in given["roles"]} == known
    assert {role for given in catalog["roles"].values() for role in given["assign_to"]} == known
    assert {namespace for _, namespace, _ in granted(catalog) if namespace} <= set(catalog["namespaces"])


def test_nobody_gets_more_than_a_step_needs(catalog: dict[str, Any]) -> None:
    assert [one for one in granted(catalog) if one[2] in TOO_MUCH] == []
    assert {role for role, _, privilege in granted(catalog) if privilege == "TABLE_DROP"} == {"dbt"}


def test_every_namespace_that_the_pipeline_writes_is_made(catalog: dict[str, Any]) -> None:
    layers = yaml.safe_load(DBT_PROJECT.read_text(encoding="utf-8"))["vars"]["layers"]
    tables = [*load_contract("taxi").tables.model_dump().values(), LEDGER_TABLE, REPLAY_TABLE]
    assert {table.split(".")[0] for table in tables} | set(layers.values()) == set(catalog["namespaces"])


def test_it_holds_no_secret() -> None:
    text = SETUP.read_text(encoding="utf-8").lower()
    assert [word for word in ("client_secret", "password", "clientsecret") if word in text] == []


class EmptyPolaris:
    """A management API that has nothing yet; asking it for anything else fails."""

    def list_principals(self) -> models.Principals:
        return models.Principals(principals=[])

    def list_principal_roles(self) -> models.PrincipalRoles:
        return models.PrincipalRoles(roles=[])

    def list_catalogs(self) -> models.Catalogs:
        return models.Catalogs(catalogs=[])

    def list_catalog_roles(self, catalog: str) -> models.CatalogRoles:
        return models.CatalogRoles(roles=[])


class NoCatalog:
    """The catalog API of a catalog that is not there yet."""

    def list_namespaces(self, **_: object) -> None:
        raise NotFoundException(status=404)


def test_polaris_own_command_would_apply_all_of_it(
    catalog: dict[str, Any], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = SetupCommand(setup_subcommand="apply", setup_config=str(SETUP), dry_run=True)
    monkeypatch.setattr(command, "_get_catalog_api", lambda api: None)
    monkeypatch.setattr(setup_command, "IcebergCatalogAPI", lambda client: NoCatalog())
    with caplog.at_level(logging.INFO):
        command.validate()
        command.execute(EmptyPolaris())
    said = [record.getMessage() for record in caplog.records]
    assert [line for line in said if "skipping" in line.lower() or "missing" in line.lower()] == []
    for name in [*catalog["namespaces"], *catalog["roles"], "millrace-dbt", "millrace_flink", "lakehouse"]:
        assert any(name in line for line in said), name
    assert sum("TABLE_WRITE_DATA" in line for line in said) >= 10


def test_the_gateway_knows_what_each_privilege_implies(setup: dict[str, Any], catalog: dict[str, Any]) -> None:
    known = set().union(*IMPLIED_BY.values())
    assert {privilege for _, _, privilege in granted(catalog)} <= known
    dbt = principals_of(setup, "lakehouse")["millrace-dbt"]
    assert dbt.allows(None, "TABLE_READ_PROPERTIES", "silver")
    assert not dbt.allows(None, "TABLE_WRITE_DATA", "silver")
    assert not dbt.allows(frozenset({"millrace_flink"}), "TABLE_READ_DATA", "silver")
