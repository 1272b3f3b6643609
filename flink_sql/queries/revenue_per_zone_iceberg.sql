-- ---
-- name: revenue_per_zone_iceberg
-- description: Trips and revenue of each pickup zone in each 10 minutes, as an Iceberg table.
-- sink:
--   profile: iceberg
--   table: streams.revenue_per_zone
-- checkpoint_interval: 10 s
-- parallelism: 1
-- restart_policy: on_failure
-- labels: {owner: data-engineering, dataset: taxi}
-- ---
-- Purpose: revenue while it happens, for people who ask DuckDB. Rows appear with each checkpoint.
-- Reads:   taxi_pickups (topic taxi.raw), by pickup time. Events count as they come: one sent twice counts twice,
--          which silver removes.
-- Writes:  lakehouse.streams.revenue_per_zone
-- Grain:   one row a pickup zone and 10 minutes that have trips; written once, never changed
WITH trips AS (
    SELECT `pickup_time`, `PULocationID` AS zone_id, CAST(`total_amount` AS DECIMAL(10, 2)) AS amount
    FROM taxi_pickups
    WHERE `pickup_time` IS NOT NULL AND `total_amount` > 0
)
SELECT window_start, window_end, zone_id, COUNT(*) AS trips, SUM(amount) AS revenue
FROM TABLE(TUMBLE(TABLE trips, DESCRIPTOR(`pickup_time`), INTERVAL '10' MINUTES))
GROUP BY window_start, window_end, zone_id
