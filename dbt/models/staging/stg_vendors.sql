-- Grain: one row a technology provider.
select
    cast(vendor_id as integer) as vendor_id,
    vendor_name,
    vendor_abbr
from {{ ref('vendor_lookup') }}
