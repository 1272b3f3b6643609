-- Purpose: create a namespace of the Iceberg catalog if it is not there.
-- Variables: CATALOG, NAMESPACE
CREATE DATABASE IF NOT EXISTS ${CATALOG}.${NAMESPACE}
