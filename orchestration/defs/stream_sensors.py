"""The sensors that watch streams: verdicts, healing within a budget, and the audit of malformed records."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import dagster as dg
from pydantic import ValidationError

from orchestration.contracts import DatasetContract
from orchestration.defs.keys import stream_asset, table_asset
from orchestration.defs.resources import MillraceSettings
from orchestration.defs.runs import count_runs, is_over, unfinished
from orchestration.defs.sensors import check_event, observation, send
from orchestration.defs.streams import HEAL_OP, STREAM_HEALTHY
from orchestration.flink.monitoring.health import Level
from orchestration.lakehouse.heartbeat import beat
from orchestration.naming import BATCH_JOB, SILVER_JOB, STREAM_HEAL_JOB, stream_name

if TYPE_CHECKING:
    from orchestration.flink.monitoring.rounds import Verdict
    from orchestration.lakehouse.streams.healing import Budget, Healing, History
    from orchestration.lakehouse.streams.watch import StreamLook, StreamMemory
    from orchestration.settings import Settings

HEALTH_SENSOR, INTERVAL_S = "stream_health", 15
AUDIT_SENSOR, AUDIT_INTERVAL_S = "stream_audit", 60
REPORTED_EVERY = timedelta(minutes=5)
"""How often a table that its stream keeps up to date counts as materialized, for its freshness."""

Event = dg.AssetObservation | dg.AssetMaterialization | dg.AssetCheckEvaluation

HEALS, GAVE_UP = "millrace/heals", "millrace/gave_up"


def build_stream_sensor(contracts: Sequence[DatasetContract]) -> dg.SensorDefinition:
    """Return the sensor that watches and heals the streams of all datasets."""

    @dg.sensor(
        name=HEALTH_SENSOR,
        # By name: Dagster copies a sensor that holds its job, with a parameter that it warns of as beta.
        job_name=STREAM_HEAL_JOB,
        minimum_interval_seconds=INTERVAL_S,
        # Somebody deployed the stream, so somebody wants it to run. Without one a tick only looks into the registry.
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Judges each stream that is to run. What changed becomes observations and check results of the "
        "stream, bronze and silver; a stream that is down is deployed again by a run, within a budget.",
    )
    def stream_health(context: dg.SensorEvaluationContext, millrace: MillraceSettings) -> dg.SensorResult:
        from orchestration.lakehouse.streams.healing import Budget
        from orchestration.lakehouse.streams.watch import judge_streams, look_at_stream, remember_streams

        now, memory = datetime.now(UTC), read_memory(context.cursor)
        settings = millrace.load()
        found = {contract.name: look_at_stream(*millrace.of(contract.name), now) for contract in contracts}
        looks = {dataset: look for dataset, look in found.items() if look is not None}
        # Their last word was perhaps that they are ill.
        over = [one for one in contracts if found[one.name] is None and stream_name(one.name) in memory.round.verdicts]
        if not looks and not over:
            beat(settings, HEALTH_SENSOR, INTERVAL_S, now)
            return dg.SensorResult(skip_reason=dg.SkipReason("no stream is to run"), cursor=context.cursor)
        round_ = judge_streams(list(looks.values()), memory, settings, now)
        verdicts = {verdict.watched.name: verdict for verdict in round_.verdicts}
        events: list[Event] = [event for contract in over for event in stopped(contract)]
        requests: list[dg.RunRequest] = []
        given_up: set[str] = set()
        memory = remember_streams(list(looks.values()), memory, round_)
        for contract in contracts:
            look, verdict = looks.get(contract.name), verdicts.get(stream_name(contract.name))
            if look is None or verdict is None:
                continue
            history = read_history(context.instance, look, Budget.of(settings), now)
            request = heal(contract.name, look, verdict, history, Budget.of(settings), context)
            if history.is_given_up:
                given_up.add(look.name)
            requests += [request] if request else []
            events += news(contract, verdict)
            reported = memory.reported.get(look.name)
            if is_up_to_date(look, verdict, reported) and (reported is None or now - reported >= REPORTED_EVERY):
                events += materializations(*millrace.of(contract.name))
                memory = memory.model_copy(update={"reported": {**memory.reported, look.name: now}})
        # Of a stream that is given up, its last alert was the word.
        send(settings, context, [alert for alert in round_.alerts if alert.query not in given_up])
        beat(settings, HEALTH_SENSOR, INTERVAL_S, now)
        skip = None if requests or events else dg.SkipReason(f"nothing is new about {', '.join(looks)}")
        return dg.SensorResult(
            run_requests=requests, asset_events=events, skip_reason=skip, cursor=memory.model_dump_json()
        )

    return stream_health


def read_memory(cursor: str | None) -> "StreamMemory":
    """Return what the last tick left; another version's cursor counts as none."""
    from orchestration.lakehouse.streams.watch import StreamMemory

    try:
        return StreamMemory.model_validate_json(cursor) if cursor else StreamMemory()
    except ValidationError:
        return StreamMemory()


def read_history(instance: dg.DagsterInstance, look: "StreamLook", budget: "Budget", now: datetime) -> "History":
    """Return what was tried, from the runs: a cursor may be lost, and another daemon may have tried."""
    from orchestration.lakehouse.streams.healing import History

    since = now - timedelta(seconds=budget.window_s)
    made = count_runs(instance, STREAM_HEAL_JOB, {HEALS: look.name}, since=since)
    gave_up = count_runs(instance, STREAM_HEAL_JOB, {GAVE_UP: look.name})
    return History(
        attempts=tuple(at for at, _ in made),
        is_trying=any(not is_over(status) for _, status in made),
        gave_up_at=gave_up[0][0] if gave_up else None,
        submitted_at=look.submitted_at,
    )


def heal(
    dataset: str,
    look: "StreamLook",
    verdict: "Verdict",
    history: "History",
    budget: "Budget",
    context: dg.SensorEvaluationContext,
) -> dg.RunRequest | None:
    """Return the run that heals a stream or gives it up; None: there is nothing to do now."""
    from orchestration.lakehouse.streams.healing import decide

    decided = decide(verdict.health, history, budget, look.at)
    if decided.action == "nothing":
        return None
    if look.silent:
        context.log.info("%s: %s; nothing is tried while %s is silent", look.name, verdict.health.text, *look.silent)
        return None
    context.log.warning("%s: %s: %s", look.name, decided.action, decided.reason)
    return to_request(dataset, look, decided, history)


def to_request(dataset: str, look: "StreamLook", decided: "Healing", history: "History") -> dg.RunRequest | None:
    """Return the run for a decision. The same history gives the same key, and Dagster runs a key once."""
    job = look.watched.job_id if look.watched else None
    newest = max(history.attempts, default=None)
    key = f"{look.name}:{job}:{newest.isoformat() if newest else 'first'}"
    match decided.action:
        case "heal":
            config = {"dataset": dataset, "hung_job": job if decided.is_hung else None}
            return dg.RunRequest(
                run_key=f"{key}:heal:{look.submitted_at}",
                run_config={"ops": {HEAL_OP: {"config": config}}},
                tags={HEALS: look.name, "millrace/attempt": str(decided.attempt)},
            )
        case "give_up":
            return dg.RunRequest(
                run_key=f"{key}:give_up:{look.submitted_at}",
                run_config={"ops": {HEAL_OP: {"config": {"dataset": dataset, "given_up": decided.reason}}}},
                tags={GAVE_UP: look.name},
            )
        case _:
            return None


def watched_keys(contract: DatasetContract) -> list[dg.AssetKey]:
    """Return the assets that show how a stream is: itself, bronze and silver."""
    return [stream_asset(contract.name), table_asset(contract.tables.bronze), table_asset(contract.tables.silver)]


def news(contract: DatasetContract, verdict: "Verdict") -> list[Event]:
    """Return what Dagster is told about a verdict that is not the one of the last tick."""
    if not verdict.is_news:
        return []
    events: list[Event] = []
    for key in watched_keys(contract):
        events += (observation(key, verdict), check_event(key, verdict, STREAM_HEALTHY))
    return events


def stopped(contract: DatasetContract) -> list[Event]:
    """Return what Dagster is told about a stream that is not to run any more."""
    return [
        dg.AssetCheckEvaluation(
            asset_key=key, check_name=STREAM_HEALTHY.name, passed=True, description="no stream is to run", metadata={}
        )
        for key in watched_keys(contract)
    ]


def is_up_to_date(look: "StreamLook", verdict: "Verdict", reported: datetime | None) -> bool:
    """Whether the stream brought its tables up to date, or committed to them, since they were reported."""
    flow = look.flow
    if flow is None or verdict.health.level is Level.UNHEALTHY or flow.committed_at is None:
        return False
    return flow.lag_records == 0 or reported is None or flow.committed_at > reported


def materializations(settings: "Settings", contract: DatasetContract) -> list[dg.AssetMaterialization]:
    """Return that bronze and silver were written by the stream, with their snapshots as data versions."""
    from orchestration.lakehouse.streams.watch import read_tables

    return [
        dg.AssetMaterialization(
            table_asset(table.name),
            description=f"written by {stream_name(contract.name)}",
            metadata={"dagster/row_count": table.rows, "snapshot_id": str(table.snapshot_id)},
            tags={"dagster/data_version": str(table.snapshot_id)},
        )
        for table in read_tables(settings, contract)
    ]


def build_audit_sensor(contracts: Sequence[DatasetContract]) -> dg.SensorDefinition:
    """Return the sensor that asks for a refresh of silver when malformed records wait for its audit."""

    @dg.sensor(
        name=AUDIT_SENSOR,
        job_name=SILVER_JOB,
        minimum_interval_seconds=AUDIT_INTERVAL_S,
        default_status=dg.DefaultSensorStatus.STOPPED,
        description="Asks for silver_refresh as soon as a stream read records that gave no row: they are dead-lettered "
        "then, and rows that break the contract taken out. Off until somebody turns it on.",
    )
    def stream_audit(context: dg.SensorEvaluationContext, millrace: MillraceSettings) -> dg.SensorResult:
        from orchestration.lakehouse.streams.watch import look_at_stream

        now, seen = datetime.now(UTC), read_seen(context.cursor)
        found: dict[str, str] = {}
        requests: list[dg.RunRequest] = []
        busy = unfinished(context.instance, (BATCH_JOB, SILVER_JOB), now)
        for contract in contracts:
            look = look_at_stream(*millrace.of(contract.name), now)
            flow = look.flow if look is not None else None
            if look is None or flow is None or not flow.dropped:
                continue
            found[look.name] = flow.audited
            # The second look in a row: offsets are committed a moment before their rows.
            if seen.get(look.name) == flow.audited and busy is None:
                requests.append(
                    dg.RunRequest(run_key=f"{look.name}:{flow.audited}", tags={"millrace/audits": look.name})
                )
        beat(millrace.load(), AUDIT_SENSOR, AUDIT_INTERVAL_S, now)
        reason = None if requests else dg.SkipReason(f"{len(found)} streams have malformed records; busy: {busy}")
        return dg.SensorResult(run_requests=requests, skip_reason=reason, cursor=json.dumps(found))

    return stream_audit


def read_seen(cursor: str | None) -> Mapping[str, str]:
    """Return name of a stream to the place of its last audit, of those that had malformed records at the last tick."""
    try:
        found = json.loads(cursor) if cursor else {}
    except json.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}
