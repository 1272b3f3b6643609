{{
    config(
        materialized='incremental',
        incremental_strategy='replace_changed_dates',
        unique_key='pickup_date',
        changes_of=['silver', 'cleaned_trips'],
        on_schema_change='fail',
        pre_hook="{{ find_changed_dates(ref('int_trip_metrics'), 'pickup_date', 'trip_id', 'ingestion_ts') }}"
    )
}}
-- Grain: one row a trip. An incremental build replaces the pickup dates whose trips changed, and no other.
select
    trips.trip_id,
    trips.vendor_id,
    trips.rate_code_id,
    trips.payment_type_id,
    trips.pickup_location_id,
    trips.dropoff_location_id,
    trips.pickup_datetime,
    trips.dropoff_datetime,
    trips.pickup_date,
    trips.pickup_hour,
    trips.pickup_day_of_week,
    trips.is_weekend,
    trips.passenger_count,
    trips.trip_distance_miles,
    trips.trip_duration_minutes,
    trips.avg_speed_mph,
    trips.cost_per_mile,
    trips.fare_amount,
    trips.extra_amount,
    trips.mta_tax,
    trips.tip_amount,
    trips.tip_percentage,
    trips.tolls_amount,
    trips.improvement_surcharge,
    trips.total_amount,
    trips.congestion_surcharge,
    trips.airport_fee,
    pickup.borough as pickup_borough,
    pickup.zone_name as pickup_zone,
    dropoff.borough as dropoff_borough,
    dropoff.zone_name as dropoff_zone,
    trips.ingestion_ts
from {{ ref('int_trip_metrics') }} as trips
left join {{ ref('dim_locations') }} as pickup on trips.pickup_location_id = pickup.location_id
left join {{ ref('dim_locations') }} as dropoff on trips.dropoff_location_id = dropoff.location_id
where {{ in_changed_dates('trips.pickup_date') }}
