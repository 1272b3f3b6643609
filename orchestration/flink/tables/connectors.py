"""Models of the connectors that sinks are made of: their options, and the changes that they take.

The options are those that Flink 2.1.3 and the connectors of platform/jars list themselves when they meet an unknown
one; `tests/integration/sql/test_sinks.py` compares. Iceberg's are its table properties (iceberg TableProperties,
FlinkWriteOptions), which Flink does not check at all.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from orchestration.errors import ConfigError

Takes = Literal["appends", "keyed", "keyed_updates", "all", "nothing"]
"""Changes that a sink takes.

appends: inserted rows only. keyed: everything, and always with a key. keyed_updates: everything, changes with a key.
all: everything. nothing: it is a source.
"""

_WATERMARK = (
    "scan.watermark.alignment.group",
    "scan.watermark.alignment.max-drift",
    "scan.watermark.alignment.update-interval",
    "scan.watermark.emit.strategy",
    "scan.watermark.idle-timeout",
)
_KAFKA = (
    "key.fields-prefix",
    "key.format",
    "property-version",
    "scan.bounded.mode",
    "scan.bounded.specific-offsets",
    "scan.bounded.timestamp-millis",
    "scan.parallelism",
    "sink.delivery-guarantee",
    "sink.parallelism",
    "sink.transaction-naming-strategy",
    "sink.transactional-id-prefix",
    "topic",
    "topic-pattern",
    "value.fields-include",
    "value.format",
    *_WATERMARK,
)
_FORMATS = {
    "json": (
        "decode.json-parser.enabled",
        "encode.decimal-as-plain-number",
        "encode.ignore-null-fields",
        "fail-on-missing-field",
        "ignore-parse-errors",
        "map-null-key.literal",
        "map-null-key.mode",
        "timestamp-format.standard",
    ),
    "csv": (
        "allow-comments",
        "array-element-delimiter",
        "disable-quote-character",
        "escape-character",
        "field-delimiter",
        "ignore-parse-errors",
        "null-literal",
        "quote-character",
        "write-bigdecimal-in-scientific-notation",
    ),
    # Its own jar, flink-sql-parquet, is not among ours; it passes any option on to the Parquet library.
    "parquet": ("utc-timezone", "timestamp.time.unit", "write.int64.timestamp", "batch-size"),
}


@dataclass(frozen=True)
class Connector:
    """One connector.

    Attributes:
        options: names of its options, without those of formats.
        open_options: beginnings of names whose rest is free, such as `properties.`.
        format_options: options that name a format, with the prefix that the format's own options then get.
        address_options: those that say which server the rows go to.
    """

    name: str
    takes: Takes
    options: frozenset[str]
    open_options: tuple[str, ...] = ()
    format_options: Mapping[str, str] = field(default_factory=dict[str, str])
    address_options: tuple[str, ...] = ()

    def check_options(self, options: Mapping[str, str]) -> None:
        """Refuse options that the connector does not have; those of formats count when their format is named.

        Raises:
            ConfigError: names the option and the closest known one.
        """
        known = self.known_options(options)
        for option in options:
            if option in known or self.is_open(option):
                continue
            close = difflib.get_close_matches(option, sorted(known), n=1, cutoff=0.5)
            raise ConfigError(
                f"connector {self.name} has no option {option!r}",
                hint=f"did you mean {close[0]!r}?" if close else f"it has: {', '.join(sorted(known))}",
                context={"code": "connector_option_invalid", "connector": self.name, "option": option},
            )

    def is_open(self, option: str) -> bool:
        """Whether the option is one of those whose names are free, such as `properties.linger.ms`."""
        return any(re.match(free, option) for free in self.open_options)

    def known_options(self, given: Mapping[str, str]) -> frozenset[str]:
        """Return the names of all options, with those of the formats that `given` names.

        Raises:
            ConfigError: a format is not known.
        """
        return self.options | self._of_formats(given)

    def _of_formats(self, options: Mapping[str, str]) -> frozenset[str]:
        found: set[str] = set()
        for option, prefix in self.format_options.items():
            name = options.get(option, "")
            if name and name not in _FORMATS:
                raise ConfigError(
                    f"connector {self.name}: {option} is {name!r}",
                    hint=f"formats: {', '.join(_FORMATS)}",
                    context={"code": "connector_option_invalid", "connector": self.name, "option": option},
                )
            found |= {f"{prefix}{name}.{item}" for item in _FORMATS.get(name, ())}
        return frozenset(found)


def _connector(
    name: str,
    takes: Takes,
    options: Iterable[str],
    *,
    open_options: tuple[str, ...] = (),
    formats: Mapping[str, str] | None = None,
    address: tuple[str, ...] = (),
) -> Connector:
    return Connector(name, takes, frozenset({"connector", *options}), open_options, formats or {}, address)


CONNECTORS: Mapping[str, Connector] = {
    item.name: item
    for item in (
        _connector(
            "kafka",
            "appends",
            (
                *_KAFKA,
                "format",
                "key.fields",
                "scan.startup.mode",
                "scan.startup.specific-offsets",
                "scan.startup.timestamp-millis",
                "scan.topic-partition-discovery.interval",
                "sink.partitioner",
                "sink.semantic",
            ),
            open_options=(r"properties\.\w",),
            formats={"format": "", "key.format": "key.", "value.format": "value."},
            address=("properties.bootstrap.servers",),
        ),
        _connector(
            "upsert-kafka",
            "keyed",
            (*_KAFKA, "sink.buffer-flush.interval", "sink.buffer-flush.max-rows"),
            open_options=(r"properties\.\w",),
            formats={"key.format": "key.", "value.format": "value."},
            address=("properties.bootstrap.servers",),
        ),
        _connector(
            "filesystem",
            "appends",
            (
                "auto-compaction",
                "compaction.file-size",
                "format",
                "partition.default-name",
                "partition.time-extractor.class",
                "partition.time-extractor.kind",
                "partition.time-extractor.timestamp-formatter",
                "partition.time-extractor.timestamp-pattern",
                "path",
                "property-version",
                "sink.parallelism",
                "sink.partition-commit.delay",
                "sink.partition-commit.policy.class",
                "sink.partition-commit.policy.class.parameters",
                "sink.partition-commit.policy.kind",
                "sink.partition-commit.success-file.name",
                "sink.partition-commit.trigger",
                "sink.partition-commit.watermark-time-zone",
                "sink.rolling-policy.check-interval",
                "sink.rolling-policy.file-size",
                "sink.rolling-policy.inactivity-interval",
                "sink.rolling-policy.rollover-interval",
                "sink.shuffle-by-partition.enable",
                "source.monitor-interval",
                "source.path.regex-pattern",
                "source.report-statistics",
                *_WATERMARK,
            ),
            open_options=(r"parquet\.\w",),
            formats={"format": ""},
        ),
        _connector(
            "jdbc",
            "keyed_updates",
            (
                "property-version",
                "url",
                "table-name",
                "driver",
                "compatible-mode",
                "username",
                "password",
                "connection.max-retry-timeout",
                "scan.partition.column",
                "scan.partition.num",
                "scan.partition.lower-bound",
                "scan.partition.upper-bound",
                "scan.fetch-size",
                "scan.auto-commit",
                "lookup.cache",
                "lookup.cache.max-rows",
                "lookup.cache.ttl",
                "lookup.cache.caching-missing-key",
                "lookup.max-retries",
                "lookup.partial-cache.cache-missing-key",
                "lookup.partial-cache.expire-after-access",
                "lookup.partial-cache.expire-after-write",
                "lookup.partial-cache.max-rows",
                "filter.handling.policy",
                "sink.buffer-flush.max-rows",
                "sink.buffer-flush.interval",
                "sink.max-retries",
                "sink.parallelism",
                *_WATERMARK,
            ),
            open_options=(r"properties\.\w",),
            address=("url",),
        ),
        _connector(
            "iceberg",
            "appends",
            (
                "format-version",
                "gc.enabled",
                "write.upsert.enabled",
                "write.format.default",
                "write.target-file-size-bytes",
                "write.distribution-mode",
                "write.parquet.compression-codec",
                "write.metadata.delete-after-commit.enabled",
                "write.metadata.previous-versions-max",
                "commit.retry.num-retries",
                "history.expire.max-snapshot-age-ms",
                "history.expire.min-snapshots-to-keep",
            ),
            open_options=(
                r"write\.(?!upsert)\w+\.",
                r"write\.(?:data|metadata|object-storage)\.",
                r"read\.",
                r"commit\.",
            ),
        ),
        _connector(
            "print", "all", ("property-version", "print-identifier", "standard-error", "sink.parallelism", *_WATERMARK)
        ),
        _connector("blackhole", "all", ("property-version", *_WATERMARK)),
        _connector(
            "datagen",
            "nothing",
            ("number-of-rows", "rows-per-second", "scan.parallelism"),
            open_options=(r"fields\..+\.(?:kind|min|max|max-past|length|var-len|start|end|null-rate)$",),
        ),
    )
}
