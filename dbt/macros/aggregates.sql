{#- Average of a floating-point column, to two decimals. Summed as decimals: a sum of doubles depends on the order in which
    threads meet the rows, and an average on the edge of two cents would change from build to build. -#}
{% macro exact_average(column) -%}
    round(avg(cast({{ column }} as decimal(38, 6))), 2)
{%- endmacro %}

{#- The most frequent value, the smallest of them if several are; nulls do not count. -#}
{% macro mode_compat(column) -%}
    {{- return(adapter.dispatch('mode_compat', 'millrace')(column)) -}}
{%- endmacro %}

{% macro default__mode_compat(column) -%}
    mode() within group (order by {{ column }})
{%- endmacro %}

{#- Without the order DuckDB gives the value that it met first, which threads decide. -#}
{% macro duckdb__mode_compat(column) -%}
    mode({{ column }} order by {{ column }})
{%- endmacro %}
