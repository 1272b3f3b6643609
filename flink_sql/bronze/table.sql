-- Purpose: create bronze: the audit trail, append-only, unpartitioned, source names kept.
-- Grain:   one row a broker record that holds a JSON object; (_kafka_partition, _kafka_offset) is unique.
-- Variables: TABLE, COLUMNS (name and bronze type from the contract)
CREATE TABLE IF NOT EXISTS ${TABLE} (
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
