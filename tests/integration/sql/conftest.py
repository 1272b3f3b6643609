"""An engine on the shared stack, and a gateway of the tests' own."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestration.flink.client.rest import FlinkRest
from orchestration.flink.engine import SqlEngine, open_engine
from orchestration.settings import Settings
from tests.integration.sql.gateways import Forwarder, OwnGateway


@pytest.fixture(scope="session")
def engine_settings(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """The stack's settings with a registry and a namespace of this test run alone."""
    registry = tmp_path_factory.mktemp("registry") / "queries.sqlite"
    return settings.with_changes(sql_engine_registry=str(registry), sql_engine_namespace=f"test-{uuid.uuid4().hex[:6]}")


@pytest.fixture
def engine(engine_settings: Settings) -> Iterator[SqlEngine]:
    """An engine on the shared stack."""
    with open_engine(engine_settings) as opened:
        yield opened


@pytest.fixture(scope="session")
def rest(settings: Settings) -> Iterator[FlinkRest]:
    """The cluster's REST API."""
    with FlinkRest(settings.flink_rest_url) as client:
        yield client


@pytest.fixture(scope="session")
def cluster_link(settings: Settings) -> Iterator[Forwarder]:
    """The way from `own_gateway` to the cluster, which a test may cut and must mend."""
    with Forwarder(settings.flink_rest_port) as link:
        yield link


@pytest.fixture(scope="session")
def own_gateway(
    engine_settings: Settings, cluster_link: Forwarder, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[OwnGateway]:
    """A gateway with room for three sessions, which forgets those that idle for 5 s. It may be restarted."""
    settings = engine_settings.with_changes(flink_rest_url=f"http://127.0.0.1:{cluster_link.port}")
    options = {
        "rest.port": cluster_link.port,
        "sql-gateway.session.idle-timeout": "5 s",
        "sql-gateway.session.check-interval": "1 s",
        "sql-gateway.session.max-num": 3,
    }
    with OwnGateway(settings, Path(tmp_path_factory.mktemp("gateway")), options) as gateway:
        yield gateway
