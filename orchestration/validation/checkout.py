"""What `millrace doctor` looks at in the checkout: settings, jars, extensions, contracts, templates, manifest."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from orchestration.contracts import DatasetContract, list_datasets, load_contract
from orchestration.errors import ConfigError, MillraceError
from orchestration.settings import Settings
from orchestration.validation.machine import Finding, find


def check_checkout(settings: Settings) -> Iterator[Finding]:
    """Yield the findings; none needs a running service or the network."""
    yield check_settings(settings)
    yield find("java", check_java)
    yield find("jars", lambda: check_jars(settings))
    yield find("duckdb", check_extensions)
    yield find("dbt manifest", lambda: check_manifest(settings))
    names = list_datasets(settings.datasets_dir)
    for name in names:
        yield find(f"contract {name}", lambda name=name: check_contract(settings, name))
        yield find(f"templates {name}", lambda name=name: check_templates(settings, name))
    if not names:
        yield Finding(
            "contracts", "FAIL", f"no dataset in {settings.datasets_dir}", "each has a folder with dataset.yml"
        )


def check_settings(settings: Settings) -> Finding:
    """Judge what the settings name on disk; that they hold together was checked when they were loaded."""
    from orchestration.settings.files import file_problems

    problems = file_problems(settings)
    if problems:
        return Finding("settings", "FAIL", problems[0].text, problems[0].remedy)
    warnings = settings.warnings()
    if warnings:
        return Finding("settings", "WARN", warnings[0], "`millrace config validate` lists all")
    return Finding("settings", "PASS", f"profile {settings.profile}, instance {settings.instance}")


def check_java() -> Finding:
    """Judge whether the bundled Java runtime is there."""
    from orchestration.embedded.java import java_binary

    return Finding("java", "PASS", f"bundled runtime {java_binary()}")


def check_jars(settings: Settings) -> Finding:
    """Judge whether every locked jar is in the cache, whole."""
    from orchestration.embedded.jars import JarCache, read_lock

    lock = read_lock(settings.platform_dir)
    wanted = [jar for name, jars in lock.items() for jar in jars if name != "s3" or settings.storage == "s3"]
    missing = JarCache(settings.cache_dir / "jars").missing(wanted)
    total = len(set(wanted))
    if missing:
        size = sum(jar.size_bytes for jar in missing) / 1e6
        return Finding(
            "jars",
            "WARN",
            f"{len(missing)} of {total} jars are not in the cache",
            f"`millrace up` fetches {size:,.0f} MB",
        )
    return Finding("jars", "PASS", f"{total} jars in {settings.cache_dir / 'jars'}, checksums hold")


def check_extensions() -> Finding:
    """Judge whether DuckDB loads its extensions from their wheels."""
    import duckdb

    from orchestration.dbt_plugin.attach import EXTENSIONS, load_extensions

    try:
        with duckdb.connect() as connection:
            load_extensions(connection)
    except duckdb.Error as error:
        raise ConfigError(
            f"DuckDB {duckdb.__version__} cannot load its extensions: {str(error).splitlines()[0]}",
            hint="run ./millrace, which installs the locked versions",
        ) from error
    return Finding("duckdb", "PASS", f"DuckDB {duckdb.__version__} loads {', '.join(EXTENSIONS)}")


def check_manifest(settings: Settings) -> Finding:
    """Judge whether Dagster reads the dbt project as it is."""
    from orchestration.dbt_plugin.manifest import is_stale, manifest_path

    path = manifest_path(settings)
    if not path.is_file():
        return Finding("dbt manifest", "PASS", "not parsed yet; whoever needs it first does it")
    if is_stale(settings):
        return Finding(
            "dbt manifest",
            "WARN",
            f"the dbt project changed since {path} was parsed: Dagster shows the models as they were then",
            "`./millrace run` and `./millrace ui` parse it anew",
        )
    return Finding("dbt manifest", "PASS", f"{path} is that of the project")


def check_contract(settings: Settings, name: str) -> Finding:
    """Judge one dataset.yml."""
    contract = load_contract(name, settings.datasets_dir)
    return Finding(
        f"contract {name}", "PASS", f"{len(contract.columns)} columns, {len(contract.quality_rules)} quality rules"
    )


def check_templates(settings: Settings, name: str) -> Finding:
    """Judge whether every SQL template renders for the dataset."""
    statements = render_all(settings, load_contract(name, settings.datasets_dir))
    return Finding(f"templates {name}", "PASS", f"{len(statements)} statements render")


def render_all(settings: Settings, contract: DatasetContract) -> list[str]:
    """Return every statement that runs for a dataset, with placeholder offsets, snapshots and days.

    Raises:
        TemplateError: a template and its variables do not match.
    """
    from orchestration.broker.offsets import LogRange
    from orchestration.broker_security import flink_broker_options
    from orchestration.flink.tables.directory import create_topic_table
    from orchestration.flink.text.catalog_sql import create_catalog, create_namespace
    from orchestration.lakehouse import statements as sql
    from orchestration.storage import flink_catalog_options

    ranges = {0: LogRange(0, 1)}
    day = date(2024, 1, 1)
    try:
        catalog = [create_catalog(flink_catalog_options(settings))]
    except ConfigError:
        # A catalog that is only read has no options for writing; its templates still have to hold.
        catalog = [create_catalog({"type": "iceberg"})]
    return [
        *catalog,
        create_namespace(contract.tables.bronze.split(".")[0]),
        create_topic_table(f"{contract.name}_raw", contract, settings, "streaming"),
        sql.create_bronze(contract),
        sql.create_silver(contract),
        sql.create_rejected(contract),
        sql.create_source(contract, ranges, flink_broker_options(settings), is_tolerant=False),
        sql.load_bronze(contract, {0: [1]}),
        sql.create_judged(contract, after=None, upto=1),
        sql.create_judged(contract, after=1, upto=2),
        sql.statement_set([sql.rebuild_silver(contract), sql.rebuild_rejected(contract)]),
        sql.statement_set([sql.refresh_silver(contract, [day]), sql.store_rejected(contract, skip_stored=True)]),
    ]


def explain(error: MillraceError) -> Iterator[Finding]:
    """Yield one finding for each line of settings that were refused."""
    for line in error.message.splitlines():
        yield Finding("settings", "FAIL", line, error.hint)
