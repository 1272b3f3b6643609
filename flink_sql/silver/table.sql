-- Purpose: create silver: typed, renamed, deduplicated rows that passed every quality rule, partitioned by date.
-- Grain:   one row a natural key; the latest arrival wins.
-- Files:   each writer writes its own file of a partition: a shuffle by date would cost more than it saves files.
-- Variables: TABLE, SURROGATE_KEY, COLUMNS (silver name and type), PARTITION
CREATE TABLE IF NOT EXISTS ${TABLE} (
    ${SURROGATE_KEY} STRING,
${COLUMNS},
    `ingestion_ts` TIMESTAMP(3),
    ${PARTITION} DATE
) PARTITIONED BY (${PARTITION}) WITH (
    'format-version' = '2',
    'write.format.default' = 'parquet',
    'write.parquet.compression-codec' = 'snappy',
    'write.distribution-mode' = 'none'
)
