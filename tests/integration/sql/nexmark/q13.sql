-- Nexmark q13: each bid with a value looked up by its auction.
-- Reads: bid, side_input. Writes: nexmark_q13 (blackhole). Grain: one row a bid.
-- The benchmark looks rows up in a file by processing time; see the module docstring of test_nexmark.py. Here a
-- bounded, versioned table is joined by event time: the same rows, because the side input never changes.

CREATE TEMPORARY TABLE side_input (
    key BIGINT,
    `value` STRING,
    valid_from AS TIMESTAMP '2020-01-01 00:00:00.000',
    PRIMARY KEY (key) NOT ENFORCED,
    WATERMARK FOR valid_from AS valid_from
) WITH (
    'connector' = 'datagen',
    'fields.key.kind' = 'sequence',
    'fields.key.start' = '0',
    'fields.key.end' = '99',
    'fields.value.length' = '10'
);

CREATE TEMPORARY TABLE nexmark_q13 (
    auction BIGINT,
    bidder BIGINT,
    price BIGINT,
    `dateTime` TIMESTAMP(3),
    `value` STRING
) WITH (
    'connector' = 'blackhole'
);

INSERT INTO nexmark_q13
SELECT b.auction, b.bidder, b.price, b.`dateTime`, s.`value`
FROM bid AS b
JOIN side_input FOR SYSTEM_TIME AS OF b.`dateTime` AS s ON MOD(b.auction, 100) = s.key;
