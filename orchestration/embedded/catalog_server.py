"""The Iceberg REST catalog: Iceberg's reference servlet over a JDBC catalog on SQLite, on loopback."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from orchestration.embedded.server import Server, class_path, common_jvm_args, properties
from orchestration.settings import Settings
from orchestration.storage import catalog_file_io


def jdbc_uri(settings: Settings) -> str:
    """Return the SQLite address. A writer waits for another one for 20 s instead of failing at once.

    WAL lets readers go on beside a writer; with it, `synchronous=NORMAL` cannot corrupt the file, only lose the last
    commits in a power cut.
    """
    path = settings.instance_dir / "catalog" / "catalog.sqlite"
    return f"jdbc:sqlite:{path}?journal_mode=WAL&busy_timeout=20000&synchronous=NORMAL"


def catalog_properties(settings: Settings) -> dict[str, str]:
    """Return the properties of Iceberg's JDBC catalog. Keys of an object store come from the environment."""
    return {
        "catalog-impl": "org.apache.iceberg.jdbc.JdbcCatalog",
        "uri": jdbc_uri(settings),
        "warehouse": settings.warehouse.rstrip("/"),
        "jdbc.schema-version": "V1",
        # SQLite has one writer: more connections would only wait for each other.
        "clients": "2",
        **catalog_file_io(settings),
    }


def catalog_server(settings: Settings, jars: Sequence[Path]) -> Server:
    """Return the catalog as a supervised server; Jetty is described in platform/catalog/server.xml."""
    run_dir = settings.instance_dir / "run"
    config = run_dir / "catalog.properties"
    args = [
        *common_jvm_args(run_dir, heap_mb=settings.catalog_heap_mb, is_short_lived_code=True),
        "-XX:+UseSerialGC",
        f"-Dmillrace.catalog.port={settings.catalog_port}",
        f"-Dmillrace.catalog.properties={config}",
        f"-Dorg.sqlite.tmpdir={run_dir / 'tmp'}",
        "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
        "-Dorg.slf4j.simpleLogger.log.org.eclipse.jetty.server=info",
        "-Dorg.slf4j.simpleLogger.showDateTime=true",
        "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd HH:mm:ss,SSS",
        "-cp",
        class_path(jars),
        "org.eclipse.jetty.xml.XmlConfiguration",
        str(settings.platform_dir / "catalog" / "server.xml"),
    ]
    return Server(
        name="catalog",
        title="Iceberg REST catalog",
        java_args=tuple(args),
        port=settings.catalog_port,
        url=f"http://127.0.0.1:{settings.catalog_port}",
        files={config: properties(catalog_properties(settings))},
    )
