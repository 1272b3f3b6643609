{{ config(database='local') }}
-- Grain: one row a pickup date.
select
    pickup_date,
    total_trips,
    total_passengers
from {{ ref('int_daily_summary') }}
