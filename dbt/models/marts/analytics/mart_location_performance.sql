-- Grain: one row a pickup zone that has trips. Trips from a zone id without a name are left out.
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
    round(avg(passenger_count), 2) as avg_passengers,
    {{ mode_compat('dropoff_zone') }} as most_common_dropoff_zone,
    {{ mode_compat('pickup_hour') }} as peak_pickup_hour
from {{ ref('fct_trips') }}
where pickup_zone is not null
group by pickup_location_id, pickup_borough, pickup_zone
order by total_pickups desc, pickup_location_id
