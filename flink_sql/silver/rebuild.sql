-- Purpose: write silver anew from all of bronze.
-- Reads:   the judged bronze rows. Writes: silver, replacing each partition that has rows, in one commit.
-- Grain:   one row a natural key; the latest arrival wins.
-- Variables: TABLE, SURROGATE_KEY_VALUE, COLUMNS (casts), PARTITION_VALUE, KEY (natural key), VIEW, DATES
--            (TRUE, or the dates that this job writes)
INSERT OVERWRITE ${TABLE}
SELECT
    ${SURROGATE_KEY_VALUE},
${COLUMNS},
    `ingestion_ts`,
    ${PARTITION_VALUE}
FROM (
    SELECT
        *,
        ROW_NUMBER() OVER (
            PARTITION BY ${KEY}
            ORDER BY `_kafka_timestamp` DESC, `_kafka_offset` DESC, `_kafka_partition` DESC
        ) AS `arrival_rank`
    FROM ${VIEW}
    WHERE `rejected_by` IS NULL AND ${DATES}
)
WHERE `arrival_rank` = 1
