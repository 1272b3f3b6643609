-- Grain: one row an hour of the day and kind of day (weekend or not). Averages are taken over the hours that have trips,
-- each of them with the same weight.
select
    pickup_hour,
    is_weekend,
    count(*) as days_observed,
    round(avg(total_trips), 0) as avg_trips_per_period,
    {{ exact_average('avg_distance') }} as avg_distance,
    {{ exact_average('avg_duration_min') }} as avg_duration_min,
    round(avg(total_revenue), 2) as avg_revenue_per_period,
    cast(sum(total_trips) as bigint) as total_trips_all_days
from {{ ref('int_hourly_patterns') }}
group by pickup_hour, is_weekend
order by is_weekend, pickup_hour
