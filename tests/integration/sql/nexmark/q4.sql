-- Nexmark q4: mean of the winning prices of each category: an aggregate over an aggregate over a join.
-- Reads: auction, bid. Writes: nexmark_q4 (blackhole). Grain: one row a category, updated.

CREATE TEMPORARY TABLE nexmark_q4 (
    id BIGINT,
    final BIGINT
) WITH (
    'connector' = 'blackhole'
);

INSERT INTO nexmark_q4
SELECT won.category AS id, AVG(won.final) AS final
FROM (
    SELECT MAX(b.price) AS final, a.category
    FROM auction AS a
    JOIN bid AS b ON a.id = b.auction
    WHERE b.`dateTime` BETWEEN a.`dateTime` AND a.expires
    GROUP BY a.id, a.category
) AS won
GROUP BY won.category;
