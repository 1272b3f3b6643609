-- Nexmark q8: persons who open an auction in the 10 seconds of their arrival: a join of two windows.
-- Reads: person, auction. Writes: nexmark_q8 (blackhole). Grain: one row a person and window.

CREATE TEMPORARY TABLE nexmark_q8 (
    id BIGINT,
    name STRING,
    stime TIMESTAMP(3)
) WITH (
    'connector' = 'blackhole'
);

INSERT INTO nexmark_q8
SELECT p.id, p.name, p.window_start AS stime
FROM (
    SELECT id, name, window_start, window_end
    FROM TABLE(TUMBLE(TABLE person, DESCRIPTOR(`dateTime`), INTERVAL '10' SECOND))
    GROUP BY id, name, window_start, window_end
) AS p
JOIN (
    SELECT seller, window_start, window_end
    FROM TABLE(TUMBLE(TABLE auction, DESCRIPTOR(`dateTime`), INTERVAL '10' SECOND))
    GROUP BY seller, window_start, window_end
) AS a
    ON p.id = a.seller AND p.window_start = a.window_start AND p.window_end = a.window_end;
