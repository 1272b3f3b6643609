-- Nexmark q3: who sells in category 10 in three states: a join of two streams without time bounds.
-- Reads: auction, person. Writes: nexmark_q3 (blackhole). Grain: one row a pair.

CREATE TEMPORARY TABLE nexmark_q3 (
    name STRING,
    city STRING,
    state STRING,
    id BIGINT
) WITH (
    'connector' = 'blackhole'
);

INSERT INTO nexmark_q3
SELECT p.name, p.city, p.state, a.id
FROM auction AS a
JOIN person AS p ON a.seller = p.id
WHERE a.category = 10 AND p.state IN ('OR', 'ID', 'CA');
