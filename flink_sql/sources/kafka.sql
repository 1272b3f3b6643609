-- Purpose: the dataset's topic as a table, from given offsets to given offsets of each partition.
-- Reads:   the topic. Every partition is listed in both offset lists: one that misses in the start list would be read
--          from 0, one that misses in the end list would not be read at all.
-- Grain:   one row an event.
-- Variables: SOURCE, COLUMNS (name and type from the contract), OPTIONS (connector, topic, offsets, JSON format)
CREATE TEMPORARY TABLE ${SOURCE} (
${COLUMNS},
    `_kafka_partition` INT METADATA FROM 'partition' VIRTUAL,
    `_kafka_offset` BIGINT METADATA FROM 'offset' VIRTUAL,
    `_kafka_timestamp` TIMESTAMP_LTZ(3) METADATA FROM 'timestamp' VIRTUAL
) WITH (
${OPTIONS}
)
