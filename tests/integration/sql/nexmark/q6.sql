-- Nexmark q6: mean price of each seller's last ten closed auctions: an OVER aggregate on rows that are taken back.
-- Reads: auction, bid. Writes: nexmark_q6 (blackhole). Grain: one row a closed auction.
-- Flink refuses it; see the module docstring of test_nexmark.py.

CREATE TEMPORARY TABLE nexmark_q6 (
    seller BIGINT,
    avg_price BIGINT
) WITH (
    'connector' = 'blackhole'
);

INSERT INTO nexmark_q6
SELECT won.seller,
    AVG(won.price) OVER (
        PARTITION BY won.seller ORDER BY won.`dateTime` ROWS BETWEEN 10 PRECEDING AND CURRENT ROW
    ) AS avg_price
FROM (
    SELECT seller, price, `dateTime`
    FROM (
        SELECT a.id, a.seller, b.price, b.`dateTime`,
            ROW_NUMBER() OVER (PARTITION BY a.id, a.seller ORDER BY b.price DESC) AS place
        FROM auction AS a
        JOIN bid AS b ON a.id = b.auction
        WHERE b.`dateTime` BETWEEN a.`dateTime` AND a.expires
    )
    WHERE place <= 1
) AS won;
