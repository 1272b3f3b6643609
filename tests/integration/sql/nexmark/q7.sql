-- Nexmark q7: the highest bids of each 10 seconds: a stream joined with its own window aggregate, in time bounds.
-- Reads: bid. Writes: nexmark_q7 (blackhole). Grain: one row a highest bid.

CREATE TEMPORARY TABLE nexmark_q7 (
    auction BIGINT,
    bidder BIGINT,
    price BIGINT,
    `dateTime` TIMESTAMP(3),
    extra STRING
) WITH (
    'connector' = 'blackhole'
);

INSERT INTO nexmark_q7
SELECT b.auction, b.bidder, b.price, b.`dateTime`, b.extra
FROM bid AS b
JOIN (
    SELECT MAX(price) AS most, window_time AS ended
    FROM TABLE(TUMBLE(TABLE bid, DESCRIPTOR(`dateTime`), INTERVAL '10' SECOND))
    GROUP BY window_start, window_end, window_time
) AS best
    ON b.price = best.most
WHERE b.`dateTime` BETWEEN best.ended - INTERVAL '10' SECOND AND best.ended;
