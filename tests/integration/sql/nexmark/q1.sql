-- Nexmark q1: prices from dollars to euros: a projection with arithmetic.
-- Reads: bid. Writes: nexmark_q1 (blackhole). Grain: one row a bid.

CREATE TEMPORARY TABLE nexmark_q1 (
    auction BIGINT,
    bidder BIGINT,
    price DECIMAL(23, 3),
    `dateTime` TIMESTAMP(3),
    extra STRING
) WITH (
    'connector' = 'blackhole'
);

INSERT INTO nexmark_q1
SELECT auction, bidder, 0.908 * price AS price, `dateTime`, extra
FROM bid;
