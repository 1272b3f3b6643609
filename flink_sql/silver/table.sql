-- Purpose: create silver: typed, renamed, deduplicated rows that passed every quality rule, partitioned by date.
-- Grain:   one row a natural key; the latest arrival wins.
-- Memory:  a writer keeps a file of every partition open. Small dictionaries bound what each of them holds; columns of
--          few values still get one.
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
    'write.parquet.dict-size-bytes' = '65536',
    'write.distribution-mode' = 'none'
)
