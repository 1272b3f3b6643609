-- A fare is a part of the total, up to a cent of rounding.
select
    trip_id,
    fare_amount,
    total_amount
from {{ ref('stg_yellow_trips') }}
where total_amount > 0
    and fare_amount > total_amount + 0.01
