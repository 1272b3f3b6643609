-- Nexmark q0: every bid as it is: the cost of reading and writing alone.
-- Reads: bid. Writes: nexmark_q0 (blackhole). Grain: one row a bid.

CREATE TEMPORARY TABLE nexmark_q0 (
    auction BIGINT,
    bidder BIGINT,
    price BIGINT,
    `dateTime` TIMESTAMP(3),
    extra STRING
) WITH (
    'connector' = 'blackhole'
);

INSERT INTO nexmark_q0
SELECT auction, bidder, price, `dateTime`, extra
FROM bid;
