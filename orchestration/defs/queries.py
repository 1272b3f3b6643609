"""Persistent queries as assets: materializing one deploys it, and returns while its job goes on.

One asset a file of `flink_sql/queries`. The run ends as soon as the job runs steadily: no run lasts as long as a
stream. Doing it again changes nothing while the same definition runs; a changed one replaces the job.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import dagster as dg

from orchestration.contracts import DatasetContract
from orchestration.defs.checks import ERROR, WARN, Check
from orchestration.defs.failure import failures
from orchestration.defs.keys import landing_asset, owners_of, pool_of, query_asset, table_asset
from orchestration.defs.metadata import Metadata, query_metadata
from orchestration.defs.resources import SqlEngineResource
from orchestration.flink.monitoring.health import Health, Level, Reading, judge
from orchestration.flink.queries.spec import QuerySpec
from orchestration.flink.text.catalog_sql import SESSION_CATALOG
from orchestration.flink.text.render import TEMPLATES_DIR
from orchestration.flink.text.tokens import significant, tokenize
from orchestration.naming import CATALOG

if TYPE_CHECKING:
    from orchestration.flink.provider import StreamEngine
    from orchestration.flink.queries.outcome import DeployResult
    from orchestration.flink.reading.rows import Change, Column

GROUP = "queries"

HEALTHY = Check("query_is_healthy", "The query's job runs, makes checkpoints and is not held up")

_KINDS = {"auto": "kafka", "upsert-kafka": "kafka"}
_PREVIEW_ROWS = 20
_OWNER = "owner"

Say = Callable[[str], None]


def build_queries(
    specs: Sequence[QuerySpec], contracts: Iterable[DatasetContract], declared: Mapping[str, str]
) -> list[dg.AssetsDefinition]:
    """Return the assets of all definitions.

    Args:
        declared: name to text of the tables in flink_sql/tables.
    """
    known = known_tables(contracts, specs)
    return [build_query(spec, parents(spec, known, declared)) for spec in specs]


def build_query(spec: QuerySpec, deps: Sequence[dg.AssetKey]) -> dg.AssetsDefinition:
    """Return the asset of one definition."""
    key, sink = query_asset(spec.name), spec.sink
    target = sink.table or "a table of its own"
    labels = {name: value for name, value in spec.labels.items() if name != _OWNER}

    @dg.asset(
        key=key,
        deps=list(deps),
        description=f"{spec.description} A stream into {target} ({sink.profile}). Materializing deploys it; it goes on "
        "until `millrace sql stop`.".strip(),
        metadata={"query": dg.MetadataValue.md(f"```sql\n{spec.query}\n```"), "upgrade_mode": spec.upgrade_mode},
        group_name=GROUP,
        kinds={"flink", _KINDS.get(sink.profile, sink.profile)},
        owners=owners_of(spec.labels.get(_OWNER, "data-engineering")),
        tags=labels,
        code_version=spec.spec_hash,
        pool=pool_of(key),
        check_specs=[HEALTHY.spec(key)],
    )
    def query(context: dg.AssetExecutionContext, sql_engine: SqlEngineResource) -> dg.MaterializeResult:  # pyright: ignore[reportMissingTypeArgument]
        with failures(context.retry_number), sql_engine.open() as engine:
            result, reading = _deploy(engine, spec, context.log.info)
        health = judge(reading) if reading is not None else Health()
        return dg.MaterializeResult(metadata=query_metadata(result, reading), check_results=[health_result(health)])

    return query


def known_tables(
    contracts: Iterable[DatasetContract], specs: Iterable[QuerySpec] = ()
) -> dict[tuple[str, ...], dg.AssetKey]:
    """Return the path of each table that an asset fills, as SQL may write it, to the asset's key.

    The declared source of a topic, `<dataset>_raw`, is its landing. A table of the catalog may be written without the
    catalog's name.
    """
    tables: dict[tuple[str, ...], dg.AssetKey] = {}

    def add(table: str, key: dg.AssetKey) -> None:
        path = tuple(part.strip("`").lower() for part in table.split("."))
        short = path[1:] if path[0] == CATALOG else path
        tables[short] = key
        if len(short) == 2:
            tables[(CATALOG, *short)] = key

    for contract in contracts:
        add(f"{contract.name}_raw", landing_asset(contract))
        for table in contract.tables.model_dump().values():
            add(table, table_asset(table))
    for spec in specs:
        if spec.sink.table:
            add(spec.sink.table, query_asset(spec.name))
    return tables


def parents(
    spec: QuerySpec, known: Mapping[tuple[str, ...], dg.AssetKey], declared: Mapping[str, str]
) -> list[dg.AssetKey]:
    """Return the assets whose tables the query reads, not its own.

    Those are named in its text, among its inputs, or by a declared table that is.
    """
    named: set[tuple[str, ...]] = set()
    texts = [spec.query, *spec.inputs]
    while texts:
        fresh = paths_in(texts.pop()) - named
        named |= fresh
        # A declared table is a name without dots; `default_catalog.default_database.` may stand before it.
        texts += [declared[path[-1]] for path in fresh if path[-1] in declared]
    named |= {path[-1:] for path in named if path[:-1] == SESSION_CATALOG}
    found = {known[path] for path in named if path in known} - {query_asset(spec.name)}
    return sorted(found, key=lambda key: tuple(key.path))


def paths_in(sql: str) -> set[tuple[str, ...]]:
    """Return all names of a text, joined by dots where it joins them, in lower case; columns are among them."""
    paths: set[tuple[str, ...]] = set()
    path: list[str] = []
    goes_on = False
    for token in significant(tokenize(sql)):
        if token.name:
            if not goes_on:
                paths.add(tuple(path))
                path = []
            path.append(token.name.lower())
            goes_on = False
        else:
            goes_on = token.text == "." and bool(path)
    paths.add(tuple(path))
    return paths - {()}


def declared_tables(folder: Path = TEMPLATES_DIR / "tables") -> dict[str, str]:
    """Return name to text of the tables that the files of a folder declare."""
    return {path.stem: path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.sql"))}


def deploy_query(engine: "StreamEngine", spec: QuerySpec, say: Say | None = None) -> dg.MaterializeResult:  # pyright: ignore[reportMissingTypeArgument]
    """Deploy a query, or leave it if it runs as it is defined, and return a materialization, for an asset of your own.

    Metadata: job id and link, sink, DDL with secrets masked, records and checkpoints so far, seconds of each step.

    Raises:
        MillraceError: as `StreamEngine.deploy`; nothing of a failed deploy is left.
    """
    return dg.MaterializeResult(metadata=query_metadata(*_deploy(engine, spec, say)))


def run_sql(
    engine: "StreamEngine",
    sql: str,
    *,
    mode: Literal["batch", "streaming"] = "batch",
    properties: Mapping[str, str] | None = None,
    max_rows: int = 0,
) -> dg.MaterializeResult:  # pyright: ignore[reportMissingTypeArgument]
    """Run an ad-hoc query to its end and return a materialization with its columns, its rows' number and the first 20.

    For an asset of your own: `return run_sql(engine, "SELECT …")`. In streaming mode rows are changes.

    Args:
        max_rows: stop after so many; 0: all, so the query must end by itself.

    Raises:
        MillraceError: the SQL breaks a rule, Flink refused it, or it failed while it ran.
    """
    from orchestration.flink.reading.feed import Limits

    preview: list[Change] = []
    with engine.execute(sql, mode=mode, properties=properties, limits=Limits(max_rows=max_rows)) as changes:
        columns = changes.columns
        for change in changes:
            if len(preview) < _PREVIEW_ROWS:
                preview.append(change)
        end = changes.end
    metadata: Metadata = {
        "dagster/column_schema": dg.TableSchemaMetadataValue(_schema(columns)),
        "sql": dg.MetadataValue.md(f"```sql\n{sql}\n```"),
    }
    if end is not None:
        metadata |= {
            "dagster/row_count": dg.MetadataValue.int(end.rows),
            "ended_by": dg.MetadataValue.text(end.reason),
            "seconds": dg.MetadataValue.float(round(end.elapsed_s, 3)),
        }
    if preview:
        rows = [dg.TableRecord(_record(columns, change)) for change in preview]
        metadata["first_rows"] = dg.MetadataValue.table(rows, dg.TableSchema.from_name_type_dict(_types(columns)))
    return dg.MaterializeResult(metadata=metadata)


def _deploy(engine: "StreamEngine", spec: QuerySpec, say: Say | None) -> "tuple[DeployResult, Reading | None]":
    result = engine.deploy(spec, replace=True)
    if say is not None:
        did = "runs already, unchanged" if result.unchanged else f"deployed, generation {result.generation}"
        say(f"{result.name}: {did}; job {result.job_id}, sink {result.sink_table}")
        for warning in result.warnings:
            say(f"{result.name}: warning: {warning}")
    return result, read_if_flink(engine, result.job_id)


def read_if_flink(engine: "StreamEngine", job_id: str) -> Reading | None:
    """Return what the cluster says about a job; None: the engine is not Flink's."""
    from orchestration.flink.monitoring.health import read_job
    from orchestration.flink.provider import FlinkBacked

    return read_job(engine.rest, job_id) if isinstance(engine, FlinkBacked) else None


def health_result(health: Health) -> dg.AssetCheckResult:
    """Return the verdict as the outcome of the asset's check."""
    return HEALTHY.result(health.level is Level.HEALTHY, severity_of(health), health.text)


def severity_of(health: Health) -> dg.AssetCheckSeverity:
    """Return how bad a verdict is: a warning while the job still does its work."""
    return ERROR if health.level is Level.UNHEALTHY else WARN


def _schema(columns: "Sequence[Column]") -> dg.TableSchema:
    return dg.TableSchema(
        [
            dg.TableColumn(column.name, column.type, constraints=dg.TableColumnConstraints(nullable=column.is_nullable))
            for column in columns
        ]
    )


def _types(columns: "Sequence[Column]") -> dict[str, str]:
    return {"op": "string"} | {column.name: "string" for column in columns}


def _record(columns: "Sequence[Column]", change: "Change") -> dict[str, str]:
    # As text: a table of Dagster holds no decimals and no times.
    values = {column.name: _text(value) for column, value in zip(columns, change.values, strict=True)}
    return {"op": change.kind, **values}


def _text(value: object) -> str:
    if value is None:
        return "NULL"
    return value.isoformat() if isinstance(value, datetime) else str(value)
