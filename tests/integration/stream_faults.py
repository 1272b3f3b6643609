"""A stream under faults: servers are killed and the stream is stopped and upgraded, while a producer goes on.

What comes first after a fault is measured: how long until the server is ready again, and from then on how long until
the next commit with rows. At the end every layer is compared with the oracle (stream_oracle.py).
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

from orchestration.broker.admin import ensure_topics
from orchestration.broker.producer import EventProducer
from orchestration.catalog import find_table, open_catalog
from orchestration.catalog.snapshots import ancestry
from orchestration.contracts.models import Stream
from orchestration.embedded.readiness import LOOKS
from orchestration.embedded.stack import Stack
from orchestration.errors import MillraceError
from orchestration.flink.engine import open_engine
from orchestration.lakehouse.streams.commits import as_commit
from orchestration.lakehouse.streams.missing import find_missing_queries
from orchestration.lakehouse.streams.operate import deploy_stream, stop_stream, upgrade_stream
from orchestration.waiting import Backoff, wait_for
from tests.integration.lake import Lake, kill
from tests.integration.stream_oracle import expect, read_layers, records, violations

SERVERS = ("taskmanager", "jobmanager", "kafka", "gateway", "catalog")
OPERATIONS = ("stop", "upgrade", "power cut", "down")
"""A power cut kills every process of the stack at once, supervisor included; `down` ends them. `up` follows on both."""
_RESTARTS = ("power cut", "down")
GIVE_UP_S = 240.0
"""For a server, or the first commit after it, on a busy machine."""
_LONGEST_OPERATION_S = 12.0
"""About what an upgrade takes on a quiet machine."""
_TICK_S = 0.1
_POLL = Backoff(0.2, 0.4)


@dataclass(frozen=True)
class Fault:
    """One of SERVERS to be killed, or of OPERATIONS to be done, `after_s` seconds after the one before is over.

    Attributes:
        hit: a server that is killed `hit_after_s` seconds after the operation began; None: nobody disturbs it.
    """

    what: str
    after_s: float
    hit: str | None = None
    hit_after_s: float = 0.0

    def __str__(self) -> str:
        return f"{self.what} + {self.hit} after {self.hit_after_s:.1f} s" if self.hit else self.what


def plan(seed: int, kills: int, operations: int, hits: int = 0) -> list[Fault]:
    """Return faults in a random order: each server at least once if there are enough, the operations in turn.

    Args:
        hits: further stops and upgrades, during which a server is killed.
    """
    random_ = random.Random(seed)
    chosen = [*SERVERS, *random_.choices(SERVERS, k=max(kills - len(SERVERS), 0))][:kills]
    chosen += [OPERATIONS[number % len(OPERATIONS)] for number in range(operations)]
    faults = [Fault(what, random_.uniform(0.0, 5.0)) for what in chosen]
    for number in range(hits):
        hit_after_s = random_.uniform(0.0, _LONGEST_OPERATION_S)
        faults.append(Fault(OPERATIONS[number % 2], random_.uniform(0.0, 5.0), random_.choice(SERVERS), hit_after_s))
    random_.shuffle(faults)
    return faults


@dataclass(frozen=True)
class Outcome:
    """What a fault cost.

    Attributes:
        ready_s: from the kill until the server answers again, or of the whole operation.
        commit_s: from then until the first commit with rows.
        note: what was needed beyond waiting.
    """

    fault: Fault
    ready_s: float
    commit_s: float
    note: str = ""


@dataclass
class Report:
    """What a run came to. `violations` is empty when every layer is exact."""

    records: int = 0
    outcomes: list[Outcome] = field(default_factory=list[Outcome])
    violations: list[str] = field(default_factory=list[str])


class Producing:
    """A producer at work in the background; it goes on through every fault."""

    def __init__(self, lake: Lake, seed: int, rate: int) -> None:
        self._lake, self._records, self._rate = lake, records(seed), rate
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="producer")
        self._error: MillraceError | None = None

    def __enter__(self) -> Producing:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            self._produce()
        except MillraceError as error:
            self._error = error

    def _produce(self) -> None:
        settings, topic = self._lake.settings, self._lake.contract.topic
        sent, begun = 0, time.monotonic()
        with EventProducer(settings) as producer:
            while not self._is_over.wait(_TICK_S):
                for _ in range(round((time.monotonic() - begun) * self._rate) - sent):
                    value = next(self._records)
                    # By hand: `send_one` takes no tombstone.
                    producer._producer.produce(topic, value, None, sent % settings.topic_partitions)
                    sent += 1
                producer.serve()
            producer.finish()


class FaultRun:
    """A lake whose stream runs while faults happen to the stack."""

    def __init__(self, stack: Stack, lake: Lake, say: Callable[[str], None] = lambda _: None) -> None:
        self._stack, self._say = stack, say
        self.lake = lake

    def run(self, faults: Sequence[Fault], *, seed: int, rate: int) -> Report:
        """Produce and let the faults happen, then bring silver up to date and compare."""
        report = Report()
        ensure_topics(self.lake.settings, self.lake.contract)
        with Producing(self.lake, seed, rate):
            deploy_stream(self.lake.settings, self.lake.contract)
            self._await_commit(time.time())
            for fault in faults:
                threading.Event().wait(fault.after_s)
                outcome = self._happen(fault)
                report.outcomes.append(outcome)
                self._say(f"{fault}: ready after {outcome.ready_s:.1f} s, commit after {outcome.commit_s:.1f} s")
        # Waits for the stream to pass the end of the topic, and accounts for what gave no row.
        Lake(self.lake.settings.with_changes(mode="streaming"), self.lake.contract, self.lake.folder).load()
        expected = expect(self.lake)
        report.records = expected.records
        report.violations += violations(expected, read_layers(self.lake))
        report.violations += self._batch_differs()
        return report

    def _batch_differs(self) -> list[str]:
        """Rebuild silver from bronze by Flink's batch jobs and compare."""
        streamed = self.lake.content(), self.lake.rejected_by()
        stop_stream(self.lake.settings, self.lake.contract)
        self.lake.silver(full_refresh=True)
        batch = self.lake.content(), self.lake.rejected_by()
        return [] if batch == streamed else [f"a batch rebuild gives {batch}, the stream had {streamed}"]

    def _happen(self, fault: Fault) -> Outcome:
        begun, note = time.time(), ""
        if fault.hit is not None:
            note = self._operate_under(fault)
        elif fault.what in _RESTARTS:
            self._restart(fault.what)
        elif fault.what in OPERATIONS:
            note = self._operate(fault.what)
        else:
            self._kill(fault.what)
        ready = time.time()
        if fault.hit is not None or fault.what in ("jobmanager", *_RESTARTS):
            note = " ".join(filter(None, [note, self._heal()]))
        return Outcome(fault, ready - begun, self._await_commit(ready), note)

    def _operate(self, what: str) -> str:
        if what == "stop":
            stop_stream(self.lake.settings, self.lake.contract)
            return _restored(deploy_stream(self.lake.settings, self.lake.contract).restored_from)
        # Another state time-to-live: another definition, and the same content.
        hours = self.lake.contract.stream.remember_keys_h + 1
        self.lake = self.lake.with_contract(stream=Stream(remember_keys_h=hours))
        return upgrade_stream(self.lake.settings, self.lake.contract).action

    def _operate_under(self, fault: Fault) -> str:
        """Kill a server while an operation is under way, and return how that ended."""
        with ThreadPoolExecutor(1) as pool:
            operation = pool.submit(self._operate, fault.what)
            threading.Event().wait(fault.hit_after_s)
            self._kill(fault.hit or "")
            try:
                return operation.result()
            except MillraceError as error:
                self._say(f"{fault}: {error}")
                return f"{type(error).__name__},"

    def _kill(self, name: str) -> None:
        before = self._pid(name)
        kill(self._stack, name)

        def look() -> tuple[bool | None, object]:
            if self._pid(name) in (None, before):
                return None, "its supervisor has not started it again"
            return LOOKS[name](self._stack.settings)

        wait_for(look, what=f"{name} to be ready again", timeout_s=GIVE_UP_S, backoff=Backoff(0.1, 0.2))

    def _restart(self, what: str) -> None:
        if what == "down":
            self._stack.down()
        else:
            for process in self._stack.processes():
                process.kill()
        self._stack.up()
        missing = find_missing_queries(self.lake.settings)
        assert [one.dataset for one in missing] == [self.lake.contract.name], "`up` names the stream"

    def _pid(self, name: str) -> int | None:
        return next((server.pid for server in self._stack.status() if server.name == name), None)

    def _heal(self) -> str:
        """Do what the healing sensor, or a user, does for a job that is gone or has another definition."""

        def look() -> tuple[str | None, object]:
            try:
                result = upgrade_stream(self.lake.settings, self.lake.contract)
            except MillraceError as error:
                self._say(f"deploy: {error}")
                return None, str(error)
            return f"{result.action} {_restored(result.restored_from)}", ""

        return wait_for(look, what="the stream to be deployed again", timeout_s=GIVE_UP_S, backoff=Backoff(1.0, 1.0))

    def _await_commit(self, since: float) -> float:
        """Return the seconds from `since` to the first commit of the stream with rows."""
        name = self.lake.contract.tables.bronze

        def look() -> tuple[float | None, object]:
            try:
                table = find_table(open_catalog(self.lake.settings), name)
            except MillraceError as error:
                return None, str(error)
            found = [
                snapshot.timestamp_ms / 1000
                for snapshot in (ancestry(table) if table is not None else ())
                if as_commit(snapshot) is not None
                and snapshot.summary is not None
                and int(snapshot.summary.get("added-records") or 0)
                and snapshot.timestamp_ms / 1000 >= since
            ]
            return (min(found) - since if found else None), "no new commit"

        return wait_for(look, what=f"a commit to {name}", timeout_s=GIVE_UP_S, backoff=_POLL)


@contextmanager
def streamed(lake: Lake) -> Iterator[Lake]:
    """Leave no job and no table of the lake behind."""
    try:
        yield lake
    finally:
        with open_engine(lake.settings) as engine:
            for record in engine.registry.active():
                engine.delete(record.id, force=True)
        if find_table(open_catalog(lake.settings), lake.contract.tables.bronze) is not None:
            lake.drop()


def _restored(path: str | None) -> str:
    return f"from {path.rsplit('/', 1)[-1]}" if path is not None else "fresh"
