{#- Average of a floating-point column, to two decimals. Summed as decimals: a sum of doubles depends on the order in which
    threads meet the rows, and an average on the edge of two cents would change from build to build. -#}
{% macro exact_average(column) -%}
    round(avg(cast({{ column }} as decimal(38, 6))), 2)
{%- endmacro %}

{#- Query for the most frequent value of a column in each group, the smallest of them if several are; nulls do not count.
    Values are counted first and ranked then: `mode(... order by ...)` sorts every row, at five times the cost. -#}
{% macro mode_compat(relation, keys, column) -%}
    select {{ keys | join(', ') }}, {{ column }}
    from (
        select
            {{ keys | join(', ') }},
            {{ column }},
            row_number() over (partition by {{ keys | join(', ') }} order by count(*) desc, {{ column }}) as place
        from {{ relation }}
        where {{ column }} is not null
        group by {{ keys | join(', ') }}, {{ column }}
    ) as ranked
    where place = 1
{%- endmacro %}
