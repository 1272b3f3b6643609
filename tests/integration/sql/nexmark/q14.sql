-- Nexmark q14: time of day and a count of letters for bids in a price range: expressions.
-- Reads: bid. Writes: nexmark_q14 (blackhole). Grain: one row such a bid.
-- The benchmark counts letters with a Java function of its own; here two built-in ones give the same number.

CREATE TEMPORARY TABLE nexmark_q14 (
    auction BIGINT,
    bidder BIGINT,
    price DECIMAL(23, 3),
    bidTimeType STRING,
    `dateTime` TIMESTAMP(3),
    extra STRING,
    c_counts INT
) WITH (
    'connector' = 'blackhole'
);

INSERT INTO nexmark_q14
SELECT auction, bidder, 0.908 * price AS price,
    CASE
        WHEN HOUR(`dateTime`) BETWEEN 8 AND 18 THEN 'dayTime'
        WHEN HOUR(`dateTime`) <= 6 OR HOUR(`dateTime`) >= 20 THEN 'nightTime'
        ELSE 'otherTime'
    END AS bidTimeType,
    `dateTime`, extra,
    CHAR_LENGTH(extra) - CHAR_LENGTH(REPLACE(extra, 'c', '')) AS c_counts
FROM bid
WHERE 0.908 * price > 1000000 AND 0.908 * price < 50000000;
