{{
    config(
        materialized='incremental' if target.name == 'iceberg' else 'table',
        incremental_strategy='replace_touched_dates',
        unique_key='pickup_date',
        changes_of=['silver', 'cleaned_trips'],
        on_schema_change='append_new_columns'
    )
}}
-- Grain: one row a pickup date and hour that has trips. A table for the reason of int_daily_summary.
select
    pickup_date,
    pickup_hour,
    pickup_day_of_week,
    is_weekend,
    count(*) as total_trips,
    {{ exact_average('trip_distance_miles') }} as avg_distance,
    round(avg(trip_duration_minutes), 2) as avg_duration_min,
    round(sum(total_amount), 2) as total_revenue,
    round(avg(total_amount), 2) as avg_revenue
from {{ ref('int_trip_metrics') }}
where {{ in_changed_dates('pickup_date') }}
group by pickup_date, pickup_hour, pickup_day_of_week, is_weekend
