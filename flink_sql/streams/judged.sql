-- Purpose: the decoded topic with the first quality rule that each event breaks (NULL: none) and its surrogate key.
-- Reads:   the Kafka source table. All inserts of the stream read this view, so Flink decodes the topic once.
-- Grain:   one row an event.
-- Variables: VIEW, SOURCE, COLUMNS (names), SURROGATE_KEY_VALUE, VERDICT (CASE over the contract's rules)
CREATE TEMPORARY VIEW ${VIEW} AS
SELECT
${COLUMNS},
    `_kafka_partition`,
    `_kafka_offset`,
    `_kafka_timestamp`,
    CAST(CURRENT_TIMESTAMP AS TIMESTAMP(3)) AS `ingestion_ts`,
    ${SURROGATE_KEY_VALUE} AS `_key`,
    PROCTIME() AS `_arrived_at`,
    ${VERDICT} AS `rejected_by`
FROM ${SOURCE}
