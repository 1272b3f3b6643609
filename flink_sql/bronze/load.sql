-- Purpose: append the records of the offset ranges to bronze, in one commit.
-- Reads:   the Kafka source table. Writes: bronze.
-- Grain:   one row a record; no rename, no rule, no deduplication.
-- Variables: TABLE, SOURCE, COLUMNS, RECORD_FILTER (TRUE, or what leaves out records that were dead-lettered)
INSERT INTO ${TABLE}
SELECT
${COLUMNS},
    `_kafka_partition`,
    `_kafka_offset`,
    `_kafka_timestamp`,
    CAST(CURRENT_TIMESTAMP AS TIMESTAMP(3)) AS `ingestion_ts`
FROM ${SOURCE}
WHERE ${RECORD_FILTER}
