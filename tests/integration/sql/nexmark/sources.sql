-- The three Nexmark streams: new persons, new auctions, bids.
-- Reads: nothing (datagen). Writes: nothing.
-- Grain: one row an event, in the benchmark's proportion of 1 person to 3 auctions to 46 bids.
-- Ids overlap, so that joins find partners: auctions 1..200, persons 1..100.

CREATE TEMPORARY TABLE person (
    id BIGINT,
    name STRING,
    emailAddress STRING,
    creditCard STRING,
    state_number INT,
    city AS CASE MOD(state_number, 4) WHEN 0 THEN 'Portland' WHEN 1 THEN 'Boise' WHEN 2 THEN 'Bend' ELSE 'Phoenix' END,
    state AS SUBSTRING('ORIDCAAZ', 1 + 2 * MOD(state_number, 4), 2),
    `dateTime` TIMESTAMP(3),
    extra STRING,
    WATERMARK FOR `dateTime` AS `dateTime` - INTERVAL '1' SECOND
) WITH (
    'connector' = 'datagen',
    'rows-per-second' = '2',
    'fields.id.min' = '1',
    'fields.id.max' = '100',
    'fields.name.length' = '8',
    'fields.emailAddress.length' = '12',
    'fields.creditCard.length' = '16',
    'fields.state_number.min' = '0',
    'fields.state_number.max' = '7',
    'fields.extra.length' = '20'
);

CREATE TEMPORARY TABLE auction (
    id BIGINT,
    itemName STRING,
    description STRING,
    initialBid BIGINT,
    reserve BIGINT,
    `dateTime` TIMESTAMP(3),
    expires AS `dateTime` + INTERVAL '20' SECOND,
    seller BIGINT,
    category BIGINT,
    extra STRING,
    WATERMARK FOR `dateTime` AS `dateTime` - INTERVAL '1' SECOND
) WITH (
    'connector' = 'datagen',
    'rows-per-second' = '6',
    'fields.id.min' = '1',
    'fields.id.max' = '200',
    'fields.itemName.length' = '10',
    'fields.description.length' = '20',
    'fields.initialBid.min' = '1',
    'fields.initialBid.max' = '1000',
    'fields.reserve.min' = '1000',
    'fields.reserve.max' = '5000',
    'fields.seller.min' = '1',
    'fields.seller.max' = '100',
    'fields.category.min' = '10',
    'fields.category.max' = '14',
    'fields.extra.length' = '20'
);

CREATE TEMPORARY TABLE bid (
    auction BIGINT,
    bidder BIGINT,
    price BIGINT,
    channel_number INT,
    channel AS CASE MOD(channel_number, 5)
        WHEN 0 THEN 'Apple' WHEN 1 THEN 'Google' WHEN 2 THEN 'Facebook' WHEN 3 THEN 'Baidu'
        ELSE 'channel-' || CAST(channel_number AS STRING)
    END,
    url AS 'https://www.nexmark.com/' || LEFT(extra, 3) || '/' || SUBSTRING(extra, 4, 3)
        || '/item.htm?query=1&channel_id=' || CAST(channel_number AS STRING),
    `dateTime` TIMESTAMP(3),
    extra STRING,
    WATERMARK FOR `dateTime` AS `dateTime` - INTERVAL '1' SECOND
) WITH (
    'connector' = 'datagen',
    'rows-per-second' = '92',
    'fields.auction.min' = '1',
    'fields.auction.max' = '200',
    'fields.bidder.min' = '1',
    'fields.bidder.max' = '100',
    'fields.price.min' = '100',
    'fields.price.max' = '10000000',
    'fields.channel_number.min' = '0',
    'fields.channel_number.max' = '9999',
    'fields.extra.length' = '20'
);
