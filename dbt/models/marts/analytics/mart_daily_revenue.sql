-- Grain: one row a day that has trips. The calendar is joined from the left: a day that it lacks keeps its revenue, and
-- the relationship test names it.
with daily as (
    select
        summary.pickup_date as date_key,
        summary.pickup_day_of_week as day_of_week_name,
        summary.is_weekend,
        dates.is_holiday,
        dates.week_of_year,
        summary.total_trips,
        summary.total_passengers,
        summary.total_fare_revenue,
        summary.total_tip_revenue,
        summary.total_revenue,
        summary.avg_trip_revenue,
        summary.avg_tip_percentage,
        summary.credit_card_trips,
        summary.cash_trips,
        summary.avg_trip_distance,
        summary.avg_trip_duration_min
    from {{ ref('int_daily_summary') }} as summary
    left join {{ ref('dim_dates') }} as dates on summary.pickup_date = dates.date_key
)

select
    *,
    sum(total_revenue) over (order by date_key rows unbounded preceding) as cumulative_revenue,
    total_revenue - lag(total_revenue) over (order by date_key) as revenue_change_vs_prior_day
from daily
