-- Purpose: the dataset's topic as an endless table with event time, for ad-hoc and deployed queries.
-- Reads:   the topic from its start. Malformed records are skipped: the bronze load dead-letters them.
-- Grain:   one row an event. Events may come 5 s late; a partition without events for 5 s does not hold up time.
-- Variables: TABLE, COLUMNS (name and type from the contract), EVENT_TIME (what the watermark is declared on), OPTIONS
CREATE TABLE IF NOT EXISTS ${TABLE} (
${COLUMNS},
    `_kafka_partition` INT METADATA FROM 'partition' VIRTUAL,
    `_kafka_offset` BIGINT METADATA FROM 'offset' VIRTUAL,
    `_kafka_timestamp` TIMESTAMP_LTZ(3) METADATA FROM 'timestamp' VIRTUAL,
    ${EVENT_TIME}
) WITH (
${OPTIONS}
)
