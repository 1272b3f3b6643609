-- Purpose: orders that never end, made up by Flink itself: a source to try queries on, with no broker and no data.
-- Grain:   one row an order, 5 a second; 16 customers. Event time is the arrival. Ids are random: Flink's own sequences
--          are kept in memory as a whole, so they must end.
-- Variables: none
CREATE TABLE demo_orders (
    `order_id` BIGINT,
    `customer` STRING,
    `amount` DECIMAL(10, 2),
    `ordered_at` AS CAST(CURRENT_TIMESTAMP AS TIMESTAMP(3)),
    WATERMARK FOR `ordered_at` AS `ordered_at` - INTERVAL '1' SECOND
) WITH (
    'connector' = 'datagen',
    'rows-per-second' = '5',
    'fields.order_id.min' = '1',
    'fields.order_id.max' = '999999999',
    'fields.customer.length' = '1',
    'fields.amount.min' = '1',
    'fields.amount.max' = '500'
)
