-- Nexmark q12: bids of each user in 10 seconds of the clock on the wall: windows over processing time.
-- Reads: bid. Writes: nexmark_q12 (blackhole). Grain: one row a bidder and window.

CREATE TEMPORARY VIEW bid_now AS
SELECT bidder, PROCTIME() AS p_time FROM bid;

CREATE TEMPORARY TABLE nexmark_q12 (
    bidder BIGINT,
    bid_count BIGINT,
    starttime TIMESTAMP_LTZ(3),
    endtime TIMESTAMP_LTZ(3)
) WITH (
    'connector' = 'blackhole'
);

INSERT INTO nexmark_q12
SELECT bidder, COUNT(*) AS bid_count, window_start AS starttime, window_end AS endtime
FROM TABLE(TUMBLE(TABLE bid_now, DESCRIPTOR(p_time), INTERVAL '10' SECOND))
GROUP BY bidder, window_start, window_end;
