-- Purpose: make the Iceberg catalog known to a gateway session. It never becomes the current catalog: unqualified
--          names must keep resolving to the session's own temporary tables.
-- Variables: CATALOG, CATALOG_OPTIONS (uri, warehouse, credentials, storage)
CREATE CATALOG IF NOT EXISTS ${CATALOG} WITH (
${CATALOG_OPTIONS}
)
