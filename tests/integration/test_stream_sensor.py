"""A stream that is canceled behind its back, with Dagster's daemon running: healed, then given up with one alert."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import dagster as dg
import pytest

from orchestration.catalog import open_catalog
from orchestration.catalog.snapshots import current_id
from orchestration.cli.ui import stop
from orchestration.dagster_home import prepare_dagster_home
from orchestration.defs.marts_sensor import Silver, build_marts_sensor
from orchestration.defs.resources import KEY, MillraceSettings
from orchestration.defs.stream_sensors import GAVE_UP, HEALS, HEALTH_SENSOR, build_audit_sensor
from orchestration.defs.streams import stream_stop
from orchestration.flink.client.models import TERMINAL
from orchestration.flink.client.rest import FlinkRest
from orchestration.flink.engine import open_engine
from orchestration.lakehouse.heartbeat import heartbeat_dir, read_heartbeats
from orchestration.lakehouse.streams.operate import deploy_stream, heal_stream, stop_stream
from orchestration.lakehouse.streams.owner import find_stream
from orchestration.lakehouse.streams.watch import look_at_stream
from orchestration.naming import STREAM_HEAL_JOB
from orchestration.settings import Settings
from orchestration.waiting import Backoff, wait_for
from tests.integration.home import Home, open_home
from tests.integration.lake import event

pytestmark = pytest.mark.stack

_log = logging.getLogger(__name__)

LATEST_S = 240.0
"""For anything that the daemon does on a busy machine; on a quiet one a stream is back after 30 s."""


@dataclass
class Webhook:
    """A receiver of alerts."""

    url: str
    got: list[dict[str, str]] = field(default_factory=list)

    def codes(self) -> list[str]:
        return [alert["code"] for alert in self.got]


@pytest.fixture(scope="module")
def webhook() -> Iterator[Webhook]:
    received: list[dict[str, str]] = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            del format, args

    with ThreadingHTTPServer(("127.0.0.1", 0), Receiver) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield Webhook(f"http://127.0.0.1:{server.server_address[1]}/hook", received)
        server.shutdown()


@pytest.fixture(scope="module")
def home(settings: Settings, tmp_path_factory: pytest.TempPathFactory, webhook: Webhook) -> Iterator[Home]:
    """A catalog, a registry of queries and a Dagster instance of its own, which may heal a stream once."""
    with open_home(
        settings,
        tmp_path_factory.mktemp("sensor"),
        SQL_ENGINE_NAMESPACE=f"sensor-{uuid.uuid4().hex[:6]}",
        SQL_ENGINE_ALERT_WEBHOOK=webhook.url,
        CHECKPOINT_INTERVAL_MS="1000",
        STREAM_HEAL_ATTEMPTS="1",
        STREAM_HEAL_PAUSE_S="1",
    ) as opened:
        try:
            yield opened
        finally:
            with open_engine(opened.settings) as engine:
                for record in engine.registry.active():
                    engine.delete(record.id, force=True)


@contextmanager
def daemon(home: Home) -> Iterator[Path]:
    """Run Dagster's daemon on the definitions as they ship; gives its home."""
    dagster_home = prepare_dagster_home(home.settings)
    with (home.folder / "daemon.log").open("wb") as log:
        process = subprocess.Popen(
            [str(Path(sys.executable).parent / "dagster-daemon"), "run", "-m", "orchestration.definitions"],
            env={**home.environ, "DAGSTER_HOME": str(dagster_home)},
            cwd=home.settings.repo_root,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield dagster_home
    finally:
        stop(process)
        process.wait()


def live_job(home: Home) -> str | None:
    """Return the id of the stream's job."""
    with open_engine(home.settings) as engine:
        job = find_stream(home.settings, home.lake.contract, engine.registry, engine.rest).job
    return job.id if job is not None else None


def await_that(what: str, look: Callable[[], object]) -> None:
    def ask() -> tuple[bool | None, object]:
        return (True if (seen := look()) else None), seen

    wait_for(ask, what=what, timeout_s=LATEST_S, backoff=Backoff(0.2, 0.5))


def await_tick(home: Home, after: datetime) -> None:
    """Wait until the sensor has looked at what was so at a time."""

    def look() -> bool:
        beats = {one.name: one.at for one in read_heartbeats(home.settings)}
        return HEALTH_SENSOR in beats and beats[HEALTH_SENSOR] > after

    await_that("a tick of the sensor", look)


def cancel(home: Home, job: str) -> None:
    """Cancel a job without telling anybody."""
    with FlinkRest(home.settings.flink_rest_url) as rest:
        rest.cancel(job)
        await_that("the job's end", lambda: rest.job(job).state in TERMINAL)


def runs(instance: dg.DagsterInstance, tag: str) -> list[dg.DagsterRunStatus]:
    """Return the states of the runs of the healing job that have a tag."""
    wanted = dg.RunsFilter(job_name=STREAM_HEAL_JOB, tags={tag: "taxi_stream"})
    return [record.dagster_run.status for record in instance.get_run_records(wanted)]


def rows(home: Home) -> int:
    return home.lake.query("SELECT count(*) FROM {bronze}")[0][0]


def checks(instance: dg.DagsterInstance) -> dict[str, bool | None]:
    """Return what the newest check of each watched asset says."""
    found: dict[str, bool | None] = {}
    for path in (["streams", "taxi_stream"], ["bronze", "raw_trips"], ["silver", "cleaned_trips"]):
        key = dg.AssetCheckKey(dg.AssetKey(path), "stream_is_healthy")
        record = instance.event_log_storage.get_latest_asset_check_execution_by_key([key]).get(key)
        evaluation = record.event.dagster_event.asset_check_evaluation_data if record and record.event else None  # pyright: ignore
        found["/".join(path)] = evaluation.passed if evaluation is not None else None
    return found


def test_a_canceled_stream_is_deployed_again_until_the_budget_is_spent(home: Home, webhook: Webhook) -> None:
    lake = home.lake
    lake.post([event(PULocationID=1 + number % 200, fare_amount=number + 0.25) for number in range(100)])
    first = deploy_stream(home.settings, lake.contract).job_id
    await_that("100 rows", lambda: rows(home) == 100)
    with daemon(home) as dagster_home, dg.DagsterInstance.from_config(str(dagster_home)) as instance:
        await_tick(home, datetime.now(UTC))
        await_that("checks of a healthy stream", lambda: all(checks(instance).values()))
        assert runs(instance, HEALS) == []

        canceled_at = time.monotonic()
        cancel(home, first)
        await_that("another job", lambda: live_job(home) not in (None, first))
        healed_s = time.monotonic() - canceled_at
        _log.info("the stream was back %.0f s after it was canceled", healed_s)
        await_that("the end of the run", lambda: runs(instance, HEALS) == [dg.DagsterRunStatus.SUCCESS])
        lake.post([event(PULocationID=7, fare_amount=number + 0.5) for number in range(20)])
        await_that("every row once", lambda: rows(home) == 120)

        # The budget is one deploy.
        second = live_job(home)
        assert second is not None
        cancel(home, second)
        await_that("the alert", lambda: "given_up" in webhook.codes())
        await_that("a failed run that tells of it", lambda: runs(instance, GAVE_UP) == [dg.DagsterRunStatus.FAILURE])
        assert set(checks(instance).values()) == {False}
        # A lost cursor and heartbeats make no difference: the history of runs counts.
        for path in heartbeat_dir(home.settings).iterdir():
            path.unlink()
        await_tick(home, datetime.now(UTC))
        assert (webhook.codes().count("given_up"), len(runs(instance, HEALS)), live_job(home)) == (1, 1, None)

        # Somebody deploys it, and stops it: nobody heals that.
        deploy_stream(home.settings, lake.contract)
        stop_stream(home.settings, lake.contract)
        await_tick(home, datetime.now(UTC))
        assert (len(runs(instance, HEALS)), live_job(home)) == (1, None)
    assert rows(home) == 120


def test_dagster_jobs_deploy_and_stop_and_sensors_see_what_the_tables_need(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake = home.lake
    ended = home.script("dagster", "job", "execute", "-m", "orchestration.definitions", "-j", "stream_deploy")
    assert ended.code == 0, ended.err
    assert live_job(home) is not None
    before = rows(home)
    lake.post([b"{ no JSON", event(PULocationID=9, fare_amount=777.25), b"[1]"])
    await_that("the valid row", lambda: rows(home) == before + 1)

    def dropped() -> int | None:
        look = look_at_stream(home.settings, lake.contract)
        return look.flow.dropped if look is not None and look.flow is not None else None

    await_that("two records without a row", lambda: dropped() == 2)
    monkeypatch.setattr("orchestration.defs.resources.load_settings", lambda *_: home.settings)
    with dg.DagsterInstance.from_config(str(prepare_dagster_home(home.settings))) as instance:

        def tick(sensor: dg.SensorDefinition, cursor: str | None = None) -> dg.SensorResult:
            resources = {KEY: MillraceSettings()}
            result = sensor(dg.build_sensor_context(cursor=cursor, resources=resources, instance=instance))
            assert isinstance(result, dg.SensorResult)
            return result

        audit = build_audit_sensor([lake.contract])
        first = tick(audit)
        assert (first.run_requests, len(tick(audit, first.cursor).run_requests or [])) == ([], 1)
        assert lake.silver().kind == "reconcile"
        assert dropped() == 0
        tables = [Silver(lake.contract.tables.silver, lake.contract.name, (dg.AssetKey(["marts", "none"]),))]
        [request] = tick(build_marts_sensor(tables)).run_requests or []
        snapshot = current_id(open_catalog(home.settings).load_table(lake.contract.tables.silver))
        assert request.tags[tables[0].tag] == str(snapshot)

    # A job that makes no checkpoints is replaced, from the newest checkpoint that there is.
    job = live_job(home)
    assert heal_stream(home.settings, lake.contract, hung_job="f" * 32) is None, "another job runs: left alone"
    healed = heal_stream(home.settings, lake.contract, hung_job=job)
    assert healed is not None
    assert (healed.job_id != job, "/chk-" in (healed.restored_from or "")) == (True, True)
    assert rows(home) == before + 1

    assert stream_stop.execute_in_process(resources={KEY: MillraceSettings()}).success
    assert live_job(home) is None
    assert heal_stream(home.settings, lake.contract) is None, "it was stopped on purpose"
