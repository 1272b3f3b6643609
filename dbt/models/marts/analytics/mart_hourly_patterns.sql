-- Grain: one row a pickup date and hour that has trips: the detail behind mart_hourly_demand. The calendar is joined from
-- the left, as in mart_daily_revenue.
select
    hours.pickup_date as date_key,
    hours.pickup_hour,
    hours.pickup_day_of_week as day_of_week_name,
    hours.is_weekend,
    dates.is_holiday,
    hours.total_trips,
    hours.avg_distance,
    hours.avg_duration_min,
    hours.total_revenue,
    hours.avg_revenue
from {{ ref('int_hourly_patterns') }} as hours
left join {{ ref('dim_dates') }} as dates on hours.pickup_date = dates.date_key
order by hours.pickup_date, hours.pickup_hour
