-- Purpose: append every event to bronze.
-- Reads:   the judged events. Writes: bronze, one commit a checkpoint.
-- Grain:   one row an event; no rename, no rule, no deduplication.
-- Variables: TABLE, COLUMNS (names), VIEW
INSERT INTO ${TABLE}
SELECT
${COLUMNS},
    `_kafka_partition`,
    `_kafka_offset`,
    `_kafka_timestamp`,
    `ingestion_ts`
FROM ${VIEW}
