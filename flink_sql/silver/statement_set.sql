-- Purpose: run the silver and the rejected insert as one job.
-- Variables: STATEMENTS (each ended by a semicolon)
EXECUTE STATEMENT SET
BEGIN
${STATEMENTS}
END
