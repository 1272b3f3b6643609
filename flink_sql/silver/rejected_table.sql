-- Purpose: create the table of rows that a quality rule refused, as they stood in bronze.
-- Grain:   one row a refused broker record; (_kafka_partition, _kafka_offset) is unique.
-- Variables: TABLE, COLUMNS (name and bronze type)
CREATE TABLE IF NOT EXISTS ${TABLE} (
    `rejected_by` STRING,
${COLUMNS},
    `_kafka_partition` INT,
    `_kafka_offset` BIGINT,
    `_kafka_timestamp` TIMESTAMP_LTZ(3),
    `ingestion_ts` TIMESTAMP(3)
) WITH (
    'format-version' = '2',
    'write.format.default' = 'parquet',
    'write.parquet.compression-codec' = 'snappy',
    'write.parquet.dict-size-bytes' = '65536'
)
