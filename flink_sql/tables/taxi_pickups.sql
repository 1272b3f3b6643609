-- Purpose: the trips of topic taxi.raw with an event time that wrong clocks cannot move. One pickup in the year 2074
--          would push taxi_raw's watermark there, and every trip after it would count as late.
-- Reads:   taxi_raw
-- Grain:   one row an event; pickup_time is NULL outside the contract's window. A trip is sent when it ends: pickups may
--          be an hour late.
-- Variables: none
CREATE TABLE taxi_pickups (
    `pickup_time` AS CASE
        WHEN `tpep_pickup_datetime` >= TIMESTAMP '2024-01-01 00:00:00'
            AND `tpep_pickup_datetime` < TIMESTAMP '2025-01-01 00:00:00'
        THEN `tpep_pickup_datetime`
    END,
    WATERMARK FOR `pickup_time` AS `pickup_time` - INTERVAL '1' HOUR
) LIKE `default_catalog`.`default_database`.`taxi_raw` (EXCLUDING WATERMARKS)
