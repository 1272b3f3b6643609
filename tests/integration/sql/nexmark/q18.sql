-- Nexmark q18: the last bid of each bidder on each auction: deduplication.
-- Reads: bid. Writes: nexmark_q18 (blackhole). Grain: one row a bidder and auction, updated.

CREATE TEMPORARY TABLE nexmark_q18 (
    auction BIGINT,
    bidder BIGINT,
    price BIGINT,
    channel STRING,
    url STRING,
    `dateTime` TIMESTAMP(3),
    extra STRING
) WITH (
    'connector' = 'blackhole'
);

INSERT INTO nexmark_q18
SELECT auction, bidder, price, channel, url, `dateTime`, extra
FROM (
    SELECT auction, bidder, price, channel, url, `dateTime`, extra,
        ROW_NUMBER() OVER (PARTITION BY bidder, auction ORDER BY `dateTime` DESC) AS place
    FROM bid
)
WHERE place <= 1;
