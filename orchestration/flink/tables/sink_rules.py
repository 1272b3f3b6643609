"""What a sink may be: options of profile and query together, changes that the connector takes, key and partitions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from orchestration.errors import ConfigError, SqlRefusedError
from orchestration.flink.tables.connectors import Connector
from orchestration.flink.tables.profiles import ConnectorProfile
from orchestration.flink.tables.schema import QuerySchema
from orchestration.flink.text.references import check_value, is_reference, needs_reference

UPSERT = "write.upsert.enabled"

_DEFAULT_FORMATS: Mapping[str, Mapping[str, str]] = {
    "kafka": {"format": "json"},
    "upsert-kafka": {"key.format": "json", "value.format": "json"},
    "filesystem": {"format": "json"},
}


def merge_options(
    name: str, profile: ConnectorProfile, asked: Mapping[str, str], connector: Connector
) -> dict[str, str]:
    """Return the profile's options under those of the query, with the format.

    A query cannot send the profile's secrets to a server of its own choice, and cannot read any variable or file of
    this process by naming it in an option that holds no secret.

    Raises:
        ConfigError: an option is unknown or not the query's to set, or its value is not allowed.
    """
    for option, value in asked.items():
        check_value(option, value, "the sink's options")
        if option == "connector":
            raise ConfigError("the connector of a sink is set by its profile", hint=f"profile {name} has its own")
        if profile.holds_secrets and option in connector.address_options:
            raise ConfigError(
                f"profile {name} holds secrets for its own server, so a query cannot change {option}",
                hint="make a profile for the other server",
            )
        if is_reference(value) and not needs_reference(option):
            raise ConfigError(
                f"option {option} holds no secret, so a query cannot give it as a reference ({value})",
                hint="write the value, or put the reference into a profile",
            )
    merged = {**_default_formats(connector, {**profile.options, **asked}), **profile.options, **asked}
    connector.check_options(merged)
    return merged


def _default_formats(connector: Connector, given: Mapping[str, str]) -> Mapping[str, str]:
    if connector.name == "kafka" and "value.format" in given:
        return {}
    return _DEFAULT_FORMATS.get(connector.name, {})


def check_changes(name: str, connector: Connector, options: Mapping[str, str], schema: QuerySchema) -> None:
    """Refuse a connector that cannot take the query's changes.

    Raises:
        SqlRefusedError: with code sink_incompatible; names the profile and the changelog.
        ConfigError: the connector is a source.
    """
    if connector.takes == "nothing":
        raise ConfigError(f"profile {name} is of connector {connector.name}, which is a source")
    if schema.is_append_only or connector.takes != "appends" or options.get(UPSERT) == "true":
        return
    if connector.name == "iceberg":
        remedy = (
            f"write only final rows (a window), or set the option {UPSERT} to true: then the table holds equality "
            "deletes, which DuckDB and PyIceberg read slowly or not at all"
        )
    else:
        remedy = "use profile upsert-kafka or jdbc, or a window, whose rows are final"
    raise SqlRefusedError(
        f"profile {name} ({connector.name}) takes only new rows, and this query changes rows that it gave before "
        f"(changelog {schema.changelog_text})",
        hint=remedy,
        context={"code": "sink_incompatible", "profile": name, "changelog": schema.changelog_text},
    )


def choose_key(
    name: str, connector: Connector, options: Mapping[str, str], schema: QuerySchema, asked: Sequence[str]
) -> tuple[str, ...]:
    """Return the sink's key: the one asked for; else, where one is needed, the best one that the plan shows.

    Rows that are only added need none. For `kafka` it is the key of the records, not of the table.

    Raises:
        SqlRefusedError: with code key_required: none is known, or one names no column of the result.
        ConfigError: a key is asked for and the connector has none.
    """
    is_upsert = connector.takes == "keyed" or options.get(UPSERT) == "true"
    if asked and connector.takes == "appends" and not is_upsert and connector.name != "kafka":
        raise ConfigError(f"profile {name} ({connector.name}) has no key", hint="leave key_columns out")
    if asked:
        return tuple(asked)
    if not is_upsert and (connector.takes != "keyed_updates" or schema.is_append_only):
        return ()
    if not schema.keys:
        raise SqlRefusedError(
            f"profile {name} ({connector.name}) needs a key, and the plan shows none that the query's result keeps",
            hint="keep the columns that it groups by in the result, or name the key with sink.key_columns",
            context={"code": "key_required", "profile": name, "changelog": schema.changelog_text},
        )
    return schema.keys[0]


def check_names(key: Sequence[str], partitions: Sequence[str], columns: Sequence[str], connector: Connector) -> None:
    """Refuse keys and partitions that are no columns, and partitions where there are none.

    Raises:
        SqlRefusedError: with code key_required, for the key.
        ConfigError: for the partitions.
    """
    listed = f"columns: {', '.join(columns)}"
    for column in key:
        if column not in columns:
            raise SqlRefusedError(
                f"key column {column!r} is not in the query's result",
                hint=listed,
                context={"code": "key_required", "column": column},
            )
    if partitions and connector.name not in ("filesystem", "iceberg"):
        raise ConfigError(f"connector {connector.name} has no partitions", hint="leave partitioned_by out")
    for column in partitions:
        if column not in columns:
            raise ConfigError(f"partition column {column!r} is not in the query's result", hint=listed)
        if key and column not in key:
            # Iceberg refuses it too: an update that moves a row would leave the old one in its partition.
            raise ConfigError(f"partition column {column!r} is not part of the key", hint=f"key: {', '.join(key)}")
