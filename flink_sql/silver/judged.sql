-- Purpose: the bronze rows of this refresh with the first quality rule that each breaks (NULL: none).
-- Reads:   bronze, the snapshots named in BRONZE_OPTIONS.
-- Grain:   one row a bronze row.
-- Variables: VIEW, BRONZE, BRONZE_OPTIONS, VERDICT (CASE over the contract's rules)
CREATE TEMPORARY VIEW ${VIEW} AS
SELECT
    *,
    ${VERDICT} AS `rejected_by`
FROM ${BRONZE} ${BRONZE_OPTIONS}
