{{
    config(
        materialized='incremental' if target.name == 'iceberg' else 'table',
        incremental_strategy='replace_touched_dates',
        unique_key='pickup_date',
        changes_of=['silver', 'cleaned_trips'],
        on_schema_change='append_new_columns'
    )
}}
-- Grain: one row a pickup date. A table, unlike int_trip_metrics: as a view its aggregation would run once for each of its
-- readers and tests.
select
    pickup_date,
    pickup_day_of_week,
    is_weekend,
    count(*) as total_trips,
    cast(sum(passenger_count) as bigint) as total_passengers,
    {{ exact_average('trip_distance_miles') }} as avg_trip_distance,
    round(avg(trip_duration_minutes), 2) as avg_trip_duration_min,
    {{ exact_average('avg_speed_mph') }} as avg_speed_mph,
    round(sum(fare_amount), 2) as total_fare_revenue,
    round(sum(tip_amount), 2) as total_tip_revenue,
    round(sum(total_amount), 2) as total_revenue,
    round(avg(total_amount), 2) as avg_trip_revenue,
    {{ exact_average('tip_percentage') }} as avg_tip_percentage,
    count(*) filter (where payment_type_id = 1) as credit_card_trips,
    count(*) filter (where payment_type_id = 2) as cash_trips
from {{ ref('int_trip_metrics') }}
where {{ in_changed_dates('pickup_date') }}
group by pickup_date, pickup_day_of_week, is_weekend
