{{ config(database='local') }}
-- Grain: one row a trip that is plausible: 1 to 720 minutes, slower than 100 miles an hour.
with trips as (
    select
        *,
        {{ duration_minutes('pickup_datetime', 'dropoff_datetime') }} as trip_duration_minutes
    from {{ ref('stg_yellow_trips') }}
),

metrics as (
    select
        *,
        case
            when trip_duration_minutes > 0
                then round(trip_distance_miles / (trip_duration_minutes / 60.0), 2)
        end as avg_speed_mph,
        case when trip_distance_miles > 0 then round(fare_amount / trip_distance_miles, 2) end as cost_per_mile,
        case when fare_amount > 0 then round(tip_amount / fare_amount * 100, 2) end as tip_percentage,
        extract(hour from pickup_datetime) as pickup_hour,
        {{ dayname_compat('pickup_date') }} as pickup_day_of_week,
        {{ is_weekend('pickup_date') }} as is_weekend
    from trips
)

select
    trip_id,
    vendor_id,
    rate_code_id,
    pickup_location_id,
    dropoff_location_id,
    payment_type_id,
    pickup_datetime,
    dropoff_datetime,
    passenger_count,
    trip_distance_miles,
    store_and_fwd_flag,
    fare_amount,
    extra_amount,
    mta_tax,
    tip_amount,
    tolls_amount,
    improvement_surcharge,
    total_amount,
    congestion_surcharge,
    airport_fee,
    trip_duration_minutes,
    avg_speed_mph,
    cost_per_mile,
    tip_percentage,
    pickup_date,
    pickup_hour,
    pickup_day_of_week,
    is_weekend,
    ingestion_ts
from metrics
where trip_duration_minutes between 1 and 720
    and (avg_speed_mph is null or avg_speed_mph < 100)
