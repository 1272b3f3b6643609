"""What is repeated, what is not, and what the user reads when nothing answers."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest

from orchestration.errors import ConfigError, FlinkError, UnreachableError
from orchestration.flink.client.failures import OutcomeUnknownError
from orchestration.flink.client.gateway import GatewayClient
from orchestration.flink.client.rest import FlinkRest

URL = "http://127.0.0.1:8083"


class Flaky:
    """Fails a number of times, then answers; counts the requests."""

    def __init__(self, times: int, fault: Callable[[httpx.Request], httpx.Response]) -> None:
        self.times, self.fault, self.requests = times, fault, 0

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests += 1
        if self.requests <= self.times:
            return self.fault(request)
        return httpx.Response(200, json={"productName": "Apache Flink", "version": "2.1.3", "operationHandle": "o"})


def raises(error: type[httpx.TransportError]) -> Callable[[httpx.Request], httpx.Response]:
    def fault(request: httpx.Request) -> httpx.Response:
        raise error("fault", request=request)

    return fault


def answers(status: int) -> Callable[[httpx.Request], httpx.Response]:
    return lambda request: httpx.Response(status, json={"errors": ["x"]})


def client(handler: Flaky) -> GatewayClient:
    return GatewayClient(URL, transport=httpx.MockTransport(handler))


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(raises(httpx.ConnectError), id="refused"),
        pytest.param(raises(httpx.ReadTimeout), id="read-timeout"),
        pytest.param(raises(httpx.RemoteProtocolError), id="cut-off"),
        pytest.param(answers(503), id="leader-election"),
        pytest.param(answers(502), id="bad-gateway"),
    ],
)
def test_a_read_is_repeated_until_it_succeeds(fault: Callable[[httpx.Request], httpx.Response]) -> None:
    handler = Flaky(4, fault)
    assert client(handler).info().version == "2.1.3"
    assert handler.requests == 5


@pytest.mark.parametrize("times", [1, 99])
def test_an_http_500_is_never_repeated(times: int) -> None:
    handler = Flaky(times, answers(500))
    with pytest.raises(FlinkError):
        client(handler).info()
    assert handler.requests == 1


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(raises(httpx.ReadTimeout), id="read-timeout"),
        pytest.param(raises(httpx.RemoteProtocolError), id="cut-off"),
        pytest.param(raises(httpx.WriteError), id="write-error"),
        pytest.param(answers(504), id="proxy-timeout"),
    ],
)
def test_a_submit_that_may_have_been_taken_is_sent_once(fault: Callable[[httpx.Request], httpx.Response]) -> None:
    handler = Flaky(1, fault)
    with pytest.raises(OutcomeUnknownError):
        client(handler).submit_statement("s1", "INSERT INTO t SELECT 1")
    assert handler.requests == 1


def test_a_submit_whose_connection_was_refused_is_sent_again() -> None:
    handler = Flaky(2, raises(httpx.ConnectError))
    assert client(handler).submit_statement("s1", "INSERT INTO t SELECT 1") == "o"


def test_a_submit_refused_during_leader_election_did_nothing() -> None:
    with pytest.raises(UnreachableError) as caught:
        client(Flaky(1, answers(503))).submit_statement("s1", "SELECT 1")
    assert not isinstance(caught.value, OutcomeUnknownError)


def test_an_unreachable_gateway_is_named_with_its_address_and_the_remedy() -> None:
    with pytest.raises(UnreachableError) as caught:
        client(Flaky(99, raises(httpx.ConnectError))).info()
    assert caught.value.message == "the Flink SQL Gateway at http://127.0.0.1:8083 does not answer"
    assert caught.value.hint == "start the stack with './millrace up', or look at it with './millrace status'"
    assert caught.value.is_retryable


@pytest.mark.parametrize("fault", [raises(httpx.ConnectError), answers(503)], ids=["refused", "unavailable"])
def test_each_service_has_its_code(fault: Callable[[httpx.Request], httpx.Response]) -> None:
    transport = httpx.MockTransport(Flaky(99, fault))
    with pytest.raises(UnreachableError) as caught:
        GatewayClient(URL, transport=transport).info()
    assert caught.value.code == "gateway_unreachable"
    with pytest.raises(UnreachableError) as caught:
        FlinkRest(URL, transport=transport).overview()
    assert caught.value.code == "cluster_unreachable"


def test_a_process_that_ends_asks_once() -> None:
    handler = Flaky(99, raises(httpx.ReadTimeout))
    with pytest.raises(UnreachableError):
        client(handler).close_session("s1", once_within_s=0.5)
    assert handler.requests == 1


def test_an_unreachable_jobmanager_is_named() -> None:
    rest = FlinkRest("http://127.0.0.1:8081", transport=httpx.MockTransport(Flaky(99, raises(httpx.ConnectError))))
    with pytest.raises(UnreachableError, match=r"Flink JobManager at http://127\.0\.0\.1:8081 does not answer"):
        rest.overview()


@pytest.mark.parametrize("url", ["127.0.0.1:8083", "ftp://host", "http://", ""])
def test_an_address_without_scheme_or_host_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="URL"):
        GatewayClient(url)


@pytest.mark.parametrize("url", [f"{URL}/", f"{URL}/v1", f"{URL}/v1/"])
def test_a_trailing_slash_and_version_are_tolerated(url: str) -> None:
    assert GatewayClient(url).base_url == URL


def test_another_server_on_the_port_gives_a_clear_error() -> None:
    html = httpx.MockTransport(lambda request: httpx.Response(200, text="<html>hello</html>"))
    with pytest.raises(FlinkError, match="not JSON"):
        GatewayClient(URL, transport=html).info()


def test_an_answer_of_another_shape_names_the_field() -> None:
    odd = httpx.MockTransport(lambda request: httpx.Response(200, json={"version": "2.1"}))
    with pytest.raises(FlinkError, match="GatewayInfo that cannot be read: productName"):
        GatewayClient(URL, transport=odd).info()
