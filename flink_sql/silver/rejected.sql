-- Purpose: keep the rows that a quality rule refused, with the rule's name.
-- Reads:   the judged bronze rows. Writes: the rejected table: appends, or replaces all of it.
-- Grain:   one row a refused bronze row.
-- Variables: INSERT (INSERT INTO or INSERT OVERWRITE), TABLE, COLUMNS, VIEW, NOT_YET_STORED (TRUE, or what leaves out rows that a killed run already stored)
${INSERT} ${TABLE}
SELECT
    `rejected_by`,
${COLUMNS},
    `_kafka_partition`,
    `_kafka_offset`,
    `_kafka_timestamp`,
    `ingestion_ts`
FROM ${VIEW}
WHERE `rejected_by` IS NOT NULL AND ${NOT_YET_STORED}
