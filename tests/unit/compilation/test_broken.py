"""PC-04: one fault each; the message names the place, the fault and the remedy, and nothing is written."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from orchestration.compilation.compiled import compile_environment
from orchestration.errors import ConfigError
from tests.unit.compilation.conftest import PLATFORM, PROJECT

PLANTED = "hunter2-planted-secret"
P, M = "platform/platform.yaml", "millrace.yaml"


@dataclass(frozen=True)
class Broken:
    """A change of one of the two files.

    Attributes:
        new: put in place of `old`; without `old` it is the whole file.
        place: start of the message.
        fault, remedy: parts of it.
    """

    file: str
    old: str
    new: str
    place: str
    fault: str
    remedy: str


def orchestration(text: str) -> str:
    return f"{PROJECT}orchestration:\n{text}"


CASES = {
    "unknown key": Broken(
        P,
        "warehouse: demo_catalog",
        "warehouse: demo_catalog\n    warehous: x",
        f"{P}:9: at catalogs.default.warehous",
        "'warehous' is not known",
        "did you mean warehouse?",
    ),
    "bad version": Broken(P, "version: 1.1.0", "version: 1.1", f"{P}:1: at version", "not text", "in quotes"),
    "name with a space": Broken(
        M, "name: customer-analytics", "name: customer analytics", f"{M}:1: at name", "is no name", "a letter first"
    ),
    "literal client_secret": Broken(
        P,
        "client_secret: {secret_ref: polaris-client-secret}",
        f"client_secret: {PLANTED}",
        f"{P}:13: at catalogs.default.credentials.client_secret",
        "it is a literal",
        "put the value into a secret",
    ),
    "oauth2 without id": Broken(
        P,
        "      client_id: {secret_ref: polaris-client-id}\n",
        "",
        f"{P}:10: at catalogs.default.credentials",
        "mode oauth2 needs client_id",
        "add it, by reference",
    ),
    "iam_role without arn": Broken(
        P,
        "region: eu-central-1",
        "credentials: {mode: iam_role}",
        f"{P}:3: at storage.default.credentials",
        "needs role_arn",
        "add the ARN",
    ),
    "missing profile": Broken(
        M,
        "catalog: default",
        "catalog: analitics",
        f"{M}:3: at catalog",
        "has no catalog 'analitics'",
        "did you mean analytics? There are: analytics, default",
    ),
    "duplicate file names": Broken(
        "floe.yaml", "", PROJECT, "millrace.yaml:", "millrace.yaml and floe.yaml are both there", "keep one"
    ),
    "remote-signing": Broken(
        P,
        "namespace: demo",
        "access_delegation: remote-signing",
        f"{P}:9: at catalogs.default.access_delegation",
        "remote-signing is not possible",
        "use vended-credentials",
    ),
    "hive": Broken(
        P,
        "type: polaris\n    uri: https://polaris",
        "type: hive\n    uri: https://polaris",
        f"{P}:6: at catalogs.default.type",
        "type hive are not supported",
        "use type rest",
    ),
    "snowflake": Broken(
        P,
        "type: duckdb",
        "type: snowflake",
        f"{P}:25: at compute.default",
        "not supported, only duckdb",
        "set type to duckdb",
    ),
    "endpoint in the project file": Broken(
        M,
        "catalog: default",
        "catalog: https://polaris.example.com/api",
        f"{M}:3: at catalog",
        "an endpoint is infrastructure",
        "the platform engineer names it",
    ),
    "password in the project file": Broken(
        M,
        "catalog: default",
        f"catalog: default\npassword: {PLANTED}",
        f"{M}:4:",
        "looks like a password",
        "put it into a secret",
    ),
    "memory limit": Broken(
        P,
        "{threads: 4}",
        "{memory_limit: 8 gigs}",
        f"{P}:27: at compute.default.properties.memory_limit",
        "'8 gigs' is no size",
        "8GB (powers of 1000)",
    ),
    "limits below requests": Broken(
        P,
        "limits: {cpu: 8000m, memory: 12Gi}",
        "limits: {cpu: 8000m, memory: 2Gi}",
        f"{P}:32: at infrastructure.resource_profiles.transform",
        "limits.memory 2Gi is below requests.memory 4Gi",
        "raise the limit",
    ),
    "secret-manager setting": Broken(
        P,
        "{threads: 4}",
        "{allow_persistent_secrets: true}",
        f"{P}:27: at compute.default.properties",
        "PLT-SECRET-MANAGER",
        "remove allow_persistent_secrets from compute.properties",
    ),
    "unknown attach property": Broken(
        P,
        "namespace: demo",
        "properties: {SUPPORT_STAGE_CREATE: true}",
        f"{P}:9: at catalogs.default.properties",
        "SUPPORT_STAGE_CREATE is no option of ATTACH",
        "known: DEFAULT_SCHEMA",
    ),
    "nested namespace": Broken(
        P,
        "namespace: gold",
        "namespace: demo.gold",
        f"{P}:29: at layers.marts.namespace",
        "'demo.gold' is nested",
        "name one level",
    ),
    "layer without catalog": Broken(
        P,
        "{catalog_ref: default, ",
        "{catalog_ref: defualt, ",
        f"{P}:29: at layers.marts.catalog_ref",
        "names the catalog 'defualt'",
        "did you mean default?",
    ),
    "unknown job in a schedule": Broken(
        M,
        "",
        orchestration("  schedules:\n    daily: {job: nightly, cron_schedule: '0 3 * * *'}\n"),
        f"{M}:10: at orchestration.schedules.daily.job",
        "there is no job 'nightly'",
        "there are: ",
    ),
    "empty selection": Broken(
        M,
        "",
        orchestration("  jobs:\n    nightly: {selection: []}\n"),
        f"{M}:10: at orchestration.jobs.nightly.selection",
        "the selection is empty",
        "name at least one group",
    ),
    "bad cron": Broken(
        M,
        "",
        orchestration(
            "  jobs:\n    nightly: {selection: ['group:gold']}\n"
            "  schedules:\n    daily: {job: nightly, cron_schedule: '0 25 * * *'}\n"
        ),
        f"{M}:12: at orchestration.schedules.daily.cron_schedule",
        "25 is not in 0 to 23",
        "five fields",
    ),
    "variable that is not set": Broken(
        M,
        "",
        orchestration("  jobs:\n    nightly: {selection: ['${SELECTED}']}\n"),
        f"{M}:10: at orchestration.jobs.nightly.selection[0]",
        "SELECTED is not set",
        "export SELECTED, or write",
    ),
    "empty YAML": Broken(P, "", "# nothing\n", f"{P}:", "the file is empty", "docs/platform.md"),
}


def files(root: Path) -> set[Path]:
    return {path for path in root.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", CASES)
def test_pc_04_a_broken_file_is_refused_with_place_fault_and_remedy(root: Path, name: str) -> None:
    case = CASES[name]
    text = {P: PLATFORM, M: PROJECT}.get(case.file, "")
    assert case.old in text
    (root / case.file).write_text(text.replace(case.old, case.new, 1) if case.old else case.new)
    before = files(root)
    with pytest.raises(ConfigError) as caught:
        compile_environment(None, environ={}, repo_root=root)
    assert caught.value.exit_code == 2
    lines = caught.value.message.splitlines()
    assert any(line.startswith(case.place) and case.fault in line and case.remedy in line for line in lines), lines
    assert PLANTED not in str(caught.value)
    assert files(root) == before


def test_pc_04_has_twenty_four_cases() -> None:
    assert len(CASES) == 24


def test_all_faults_of_both_files_come_at_once(root: Path) -> None:
    (root / M).write_text(PROJECT.replace("version: 1.0.0", "versoin: 1.0.0"))
    (root / P).write_text(PLATFORM.replace("version: 1.1.0", "version: one"))
    with pytest.raises(ConfigError) as caught:
        compile_environment(None, environ={}, repo_root=root)
    assert [line.split(":")[0] for line in caught.value.message.splitlines()] == [M, P]


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("role: arn:aws:iam::123456789012:role/x", "an ARN is infrastructure"),
        ("bucket: s3://lake/x", "an address in an object store"),
        ("broker: kafka.example.com:9092", "a host is infrastructure"),
        ("db: postgresql://me:pw@db/x", "looks like a user name or password in an address"),
        ("api_token: abc123", "looks like a password or secret"),
    ],
)
def test_the_project_file_holds_no_infrastructure(root: Path, line: str, what: str) -> None:
    (root / M).write_text(f"{PROJECT}observability:\n  attributes:\n    {line}\n")
    with pytest.raises(ConfigError, match=what) as caught:
        compile_environment(None, environ={}, repo_root=root)
    assert caught.value.message.startswith(f"{M}:10:")


def test_a_scope_is_needed_outside_the_environment_local(root: Path) -> None:
    text = PLATFORM.replace("      scope: PRINCIPAL_ROLE:service_admin\n", "")
    (root / P).write_text(f"{text}environments:\n  local: {{}}\n  prod: {{}}\n")
    compile_environment("local", environ={}, repo_root=root)
    with pytest.raises(ConfigError, match="needs a scope"):
        compile_environment("prod", environ={}, repo_root=root)


def test_a_sensor_of_a_job_on_itself_and_a_circle_are_refused(root: Path) -> None:
    sensor = "{{type: run_status, watched_jobs: [{0}], status: SUCCESS, job: {1}}}"
    jobs = "  jobs:\n    a: {selection: ['group:gold']}\n    b: {selection: ['+fct_trips']}\n"
    for sensors, what in (
        (f"    s: {sensor.format('a', 'a')}\n", "would start itself"),
        (f"    s: {sensor.format('a', 'b')}\n    t: {sensor.format('b', 'a')}\n", "in a circle"),
    ):
        (root / M).write_text(orchestration(f"{jobs}  sensors:\n{sensors}"))
        (root / "dbt" / "models" / "marts").mkdir(parents=True, exist_ok=True)
        (root / "dbt" / "models" / "marts" / "fct_trips.sql").write_text("select 1")
        with pytest.raises(ConfigError, match=what):
            compile_environment(None, environ={}, repo_root=root)


def test_modules_are_looked_for_only_when_asked(root: Path) -> None:
    (root / M).write_text(orchestration("  asset_modules: [no_such_package.assets]\n"))
    compile_environment(None, environ={}, repo_root=root)
    with pytest.raises(ConfigError, match=r"'no_such_package.assets' cannot be imported"):
        compile_environment(None, environ={}, repo_root=root, is_strict=True)
