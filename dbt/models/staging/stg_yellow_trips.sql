-- Grain: one row a trip. Silver as it is, typed; a trip needs both of its ends.
-- Keeps pickup_date, which is silver's partition column (a filter on it skips files), and ingestion_ts, by which later
-- models see what changed.
select
    trip_id,
    vendor_id,
    rate_code_id,
    pickup_location_id,
    dropoff_location_id,
    payment_type_id,
    cast(pickup_datetime as timestamp) as pickup_datetime,
    cast(dropoff_datetime as timestamp) as dropoff_datetime,
    pickup_date,
    passenger_count,
    trip_distance_miles,
    store_and_fwd_flag,
    {%- for amount in [
        'fare_amount', 'extra_amount', 'mta_tax', 'tip_amount', 'tolls_amount', 'improvement_surcharge',
        'total_amount', 'congestion_surcharge', 'airport_fee'
    ] %}
    cast(round({{ amount }}, 2) as decimal(10, 2)) as {{ amount }},
    {%- endfor %}
    cast(ingestion_ts as timestamp) as ingestion_ts
from {{ source('silver', 'cleaned_trips') }}
where pickup_datetime is not null
    and dropoff_datetime is not null
