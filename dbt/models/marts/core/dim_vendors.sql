-- Grain: one row a technology provider.
select
    vendor_id,
    vendor_name,
    vendor_abbr
from {{ ref('stg_vendors') }}
