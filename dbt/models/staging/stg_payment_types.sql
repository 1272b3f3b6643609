-- Grain: one row a payment type.
select
    cast(payment_type_id as integer) as payment_type_id,
    payment_type_name
from {{ ref('payment_type_lookup') }}
