-- Grain: one row a day, without gaps, from the first to the last pickup date of silver.
with bounds as (
    select
        min(pickup_date) as first_date,
        max(pickup_date) as last_date
    from {{ ref('stg_yellow_trips') }}
),

days as (
    select cast(unnest(generate_series(first_date, last_date, interval 1 day)) as date) as date_key
    from bounds
)

select
    date_key,
    extract(year from date_key) as year,
    extract(month from date_key) as month,
    extract(day from date_key) as day_of_month,
    extract(dayofweek from date_key) as day_of_week_num,
    extract(week from date_key) as week_of_year,
    {{ dayname_compat('date_key') }} as day_of_week_name,
    {{ monthname_compat('date_key') }} as month_name,
    {{ is_weekend('date_key') }} as is_weekend,
    {{ is_us_holiday('date_key') }} as is_holiday
from days
