{{ config(materialized='table') }}
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
group by pickup_date, payment_type_id
