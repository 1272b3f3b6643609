-- Nexmark q2: bids on every 123rd auction: a filter.
-- Reads: bid. Writes: nexmark_q2 (blackhole). Grain: one row a bid on such an auction.

CREATE TEMPORARY TABLE nexmark_q2 (
    auction BIGINT,
    price BIGINT
) WITH (
    'connector' = 'blackhole'
);

INSERT INTO nexmark_q2
SELECT auction, price
FROM bid
WHERE MOD(auction, 123) = 0;
