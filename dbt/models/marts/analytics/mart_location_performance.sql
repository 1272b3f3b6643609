-- Grain: one row a pickup zone that has trips. Trips from a zone id without a name are left out.
with trips as not materialized (
    select *
    from {{ ref('fct_trips') }}
    where pickup_zone is not null
),

zones as (
    select
        pickup_location_id,
        pickup_borough,
        pickup_zone,
        count(*) as total_pickups,
        {{ exact_average('trip_distance_miles') }} as avg_trip_distance,
        round(avg(trip_duration_minutes), 2) as avg_trip_duration_min,
        round(sum(total_amount), 2) as total_revenue,
        round(avg(total_amount), 2) as avg_revenue_per_trip,
        {{ exact_average('tip_percentage') }} as avg_tip_pct,
        round(avg(passenger_count), 2) as avg_passengers
    from trips
    group by pickup_location_id, pickup_borough, pickup_zone
),

dropoffs as (
    {{ mode_compat('trips', ['pickup_location_id', 'pickup_zone'], 'dropoff_zone') }}
),

hours as (
    {{ mode_compat('trips', ['pickup_location_id', 'pickup_zone'], 'pickup_hour') }}
)

select
    zones.*,
    dropoffs.dropoff_zone as most_common_dropoff_zone,
    hours.pickup_hour as peak_pickup_hour
from zones
left join dropoffs
    on zones.pickup_location_id = dropoffs.pickup_location_id and zones.pickup_zone = dropoffs.pickup_zone
left join hours
    on zones.pickup_location_id = hours.pickup_location_id and zones.pickup_zone = hours.pickup_zone
order by zones.total_pickups desc, zones.pickup_location_id
