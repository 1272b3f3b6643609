-- A trip ends after it began. Looked at in the fact table and from its timestamps, not from the duration that
-- int_trip_metrics filters by: it fails if that filter is lost, and if the stored duration is not that of the stored times.
select
    trip_id,
    pickup_datetime,
    dropoff_datetime,
    trip_duration_minutes
from {{ ref('fct_trips') }}
where dropoff_datetime <= pickup_datetime
    or trip_duration_minutes is distinct from {{ duration_minutes('pickup_datetime', 'dropoff_datetime') }}
