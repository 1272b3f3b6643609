"""The code location: assembles `defs`, no logic. Loads with no service, no network and no secret.

Of the environment it takes only what `${VAR}` in millrace.yaml asks for.
"""

from __future__ import annotations

import dagster as dg

from orchestration.contracts import list_datasets, load_contract
from orchestration.dbt_plugin.manifest import locate_manifest
from orchestration.defs.assets import build_assets
from orchestration.defs.assets.gold import build_source_checks
from orchestration.defs.checks import build_checks
from orchestration.defs.dbt_nodes import read_project
from orchestration.defs.declared import build_declared
from orchestration.defs.emails import failed_run_email
from orchestration.defs.freshness import with_freshness
from orchestration.defs.heartbeats import sensor_heartbeats
from orchestration.defs.jobs import JOBS
from orchestration.defs.maintenance import iceberg_file_counts, iceberg_maintenance, maintenance_schedule
from orchestration.defs.marts_sensor import build_marts_sensor, read_by_models
from orchestration.defs.queries import build_queries, declared_tables
from orchestration.defs.resources import ENGINE_KEY, KEY, MillraceSettings, SqlEngineResource
from orchestration.defs.schedules import SCHEDULES
from orchestration.defs.sensors import build_sensor
from orchestration.defs.stream_sensors import build_audit_sensor, build_stream_sensor
from orchestration.defs.streams import build_stream, build_stream_checks
from orchestration.flink.queries.spec_files import load_specs
from orchestration.settings import Settings
from orchestration.settings.load import load_project

_contracts = [load_contract(name) for name in list_datasets()]
_settings = Settings()
_project = read_project(locate_manifest(_settings))
_queries = load_specs(_settings.queries_dir)

_assets = [
    *with_freshness(build_assets(_contracts, _project), _contracts),
    *(build_stream(contract) for contract in _contracts),
    *build_queries(_queries, _contracts, declared_tables()),
]
_jobs = [*JOBS, iceberg_maintenance]
_file, _lines = load_project()
_declared = build_declared(_file.orchestration, _lines, _assets, _jobs)

defs = dg.Definitions(
    assets=_declared.assets,
    asset_checks=[
        *(check for contract in _contracts for check in build_checks(contract)),
        *(build_stream_checks(contract) for contract in _contracts),
        *build_source_checks(_project),
    ],
    jobs=[*_jobs, *_declared.jobs],
    schedules=[*SCHEDULES, maintenance_schedule, *_declared.schedules],
    sensors=[
        build_sensor(query.name for query in _queries),
        build_stream_sensor(_contracts),
        build_audit_sensor(_contracts),
        build_marts_sensor(read_by_models(_contracts, _project)),
        iceberg_file_counts,
        sensor_heartbeats,
        failed_run_email,
        *_declared.sensors,
    ],
    resources={KEY: MillraceSettings(), ENGINE_KEY: SqlEngineResource()},
)
