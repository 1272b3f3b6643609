-- Purpose: append the first arrival of each natural key to silver.
-- Reads:   the judged events. Writes: silver, one commit a checkpoint; append-only, so that nothing is ever rewritten
--          while readers read. Later arrivals of a key are dropped as long as the state remembers it (the job's state
--          TTL); silver_refresh puts the latest arrival in their place.
-- Grain:   one row a natural key, within the state's memory.
-- Variables: TABLE, SURROGATE_KEY, COLUMNS (casts, named), PARTITION, PARTITION_VALUE, VIEW
INSERT INTO ${TABLE}
SELECT
    `_key` AS ${SURROGATE_KEY},
${COLUMNS},
    `ingestion_ts`,
    ${PARTITION_VALUE} AS ${PARTITION}
FROM (
    SELECT
        *,
        ROW_NUMBER() OVER (PARTITION BY `_key` ORDER BY `_arrived_at` ASC) AS `arrival_rank`
    FROM ${VIEW}
    WHERE `rejected_by` IS NULL
)
WHERE `arrival_rank` = 1
