{{
    config(
        materialized='incremental' if target.name == 'iceberg' else 'table',
        incremental_strategy='replace_touched_dates',
        unique_key='pickup_date',
        changes_of=['silver', 'cleaned_trips'],
        on_schema_change='append_new_columns'
    )
}}
-- Grain: one row a pickup date and payment type; null is a type of its own, so that the shares of a day add up to 1.
-- A table for the reason of int_daily_summary.
select
    pickup_date,
    payment_type_id,
    count(*) as total_trips,
    round(sum(total_amount), 2) as total_revenue,
    round(sum(tip_amount), 2) as total_tip_revenue,
    {{ exact_average('tip_percentage') }} as avg_tip_percentage,
    round(count(*) / sum(count(*)) over (partition by pickup_date), 4) as share_of_trips
from {{ ref('int_trip_metrics') }}
where {{ in_changed_dates('pickup_date') }}
group by pickup_date, payment_type_id
