{#- Whole minutes between two timestamps. DuckDB counts the minute boundaries crossed: 10:00:59 to 10:01:00 is 1. -#}
{% macro duration_minutes(start_ts, end_ts) -%}
    {{- return(adapter.dispatch('duration_minutes', 'millrace')(start_ts, end_ts)) -}}
{%- endmacro %}

{% macro default__duration_minutes(start_ts, end_ts) -%}
    cast(floor(extract(epoch from ({{ end_ts }} - {{ start_ts }})) / 60) as bigint)
{%- endmacro %}

{% macro duckdb__duration_minutes(start_ts, end_ts) -%}
    date_diff('minute', {{ start_ts }}, {{ end_ts }})
{%- endmacro %}

{#- English name of the day of the week, without padding. -#}
{% macro dayname_compat(date_column) -%}
    {{- return(adapter.dispatch('dayname_compat', 'millrace')(date_column)) -}}
{%- endmacro %}

{% macro default__dayname_compat(date_column) -%}
    trim(to_char({{ date_column }}, 'Day'))
{%- endmacro %}

{% macro duckdb__dayname_compat(date_column) -%}
    dayname({{ date_column }})
{%- endmacro %}

{#- English name of the month, without padding. -#}
{% macro monthname_compat(date_column) -%}
    {{- return(adapter.dispatch('monthname_compat', 'millrace')(date_column)) -}}
{%- endmacro %}

{% macro default__monthname_compat(date_column) -%}
    trim(to_char({{ date_column }}, 'Month'))
{%- endmacro %}

{% macro duckdb__monthname_compat(date_column) -%}
    monthname({{ date_column }})
{%- endmacro %}

{% macro is_weekend(date_column) -%}
    extract(dayofweek from {{ date_column }}) in (0, 6)
{%- endmacro %}

{#- The eleven federal holidays of the United States on their calendar day (not the day observed), by rule, so that no
    year is missing from a list. Juneteenth counts from 2021 on (Public Law 117-17). -#}
{% macro is_us_holiday(date_column) -%}
    {%- set month = 'extract(month from ' ~ date_column ~ ')' -%}
    {%- set day = 'extract(day from ' ~ date_column ~ ')' -%}
    {%- set weekday = 'extract(dayofweek from ' ~ date_column ~ ')' -%}
    (
        ({{ month }} = 1 and {{ day }} = 1)
        or ({{ month }} = 1 and {{ weekday }} = 1 and {{ day }} between 15 and 21)
        or ({{ month }} = 2 and {{ weekday }} = 1 and {{ day }} between 15 and 21)
        or ({{ month }} = 5 and {{ weekday }} = 1 and {{ day }} between 25 and 31)
        or ({{ month }} = 6 and {{ day }} = 19 and extract(year from {{ date_column }}) >= 2021)
        or ({{ month }} = 7 and {{ day }} = 4)
        or ({{ month }} = 9 and {{ weekday }} = 1 and {{ day }} between 1 and 7)
        or ({{ month }} = 10 and {{ weekday }} = 1 and {{ day }} between 8 and 14)
        or ({{ month }} = 11 and {{ day }} = 11)
        or ({{ month }} = 11 and {{ weekday }} = 4 and {{ day }} between 22 and 28)
        or ({{ month }} = 12 and {{ day }} = 25)
    )
{%- endmacro %}
