-- Purpose: bring the partitions that new bronze rows touch up to date.
-- Reads:   the judged new bronze rows, and silver's rows of the touched partitions. Writes: those partitions, whole, in
--          one commit.
-- Grain:   one row a natural key; new rows win over stored ones, among them the latest arrival.
-- Variables: TABLE, SURROGATE_KEY, SURROGATE_KEY_VALUE, COLUMNS (casts, named), SILVER_COLUMNS (names), PARTITION,
--            PARTITION_VALUE, TOUCHED (list of DATE literals), VIEW, DATES (TRUE, or the dates that this
--            job writes)
INSERT OVERWRITE ${TABLE}
SELECT
    ${SURROGATE_KEY},
${SILVER_COLUMNS},
    `ingestion_ts`,
    ${PARTITION}
FROM (
    SELECT
        *,
        ROW_NUMBER() OVER (
            PARTITION BY ${SURROGATE_KEY}
            ORDER BY `is_new` DESC, `arrived_at` DESC, `arrival_offset` DESC, `arrival_partition` DESC
        ) AS `arrival_rank`
    FROM (
        SELECT
            ${SURROGATE_KEY_VALUE} AS ${SURROGATE_KEY},
${COLUMNS},
            `ingestion_ts`,
            ${PARTITION_VALUE} AS ${PARTITION},
            1 AS `is_new`,
            `_kafka_timestamp` AS `arrived_at`,
            `_kafka_offset` AS `arrival_offset`,
            `_kafka_partition` AS `arrival_partition`
        FROM ${VIEW}
        WHERE `rejected_by` IS NULL AND ${DATES}
        UNION ALL
        SELECT
            ${SURROGATE_KEY},
${SILVER_COLUMNS},
            `ingestion_ts`,
            ${PARTITION},
            0,
            CAST(NULL AS TIMESTAMP_LTZ(3)),
            CAST(NULL AS BIGINT),
            CAST(NULL AS INT)
        FROM ${TABLE}
        WHERE ${PARTITION} IN (${TOUCHED})
    )
)
WHERE `arrival_rank` = 1
