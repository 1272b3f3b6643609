{#- Generic tests of the project. Each returns the rows that break the claim. -#}

{#- No value is below zero. Null and zero pass: a free trip is a trip. -#}
{% test positive_value(model, column_name) %}
select {{ column_name }}
from {{ model }}
where {{ column_name }} < 0
{% endtest %}

{#- Every value lies between two bounds, both included. Null passes. -#}
{% test between_values(model, column_name, min_value, max_value) %}
select {{ column_name }}
from {{ model }}
where {{ column_name }} not between {{ min_value }} and {{ max_value }}
{% endtest %}

{#- No two rows have the same values in all of the columns; a null is equal to a null here. -#}
{% test unique_combination(model, columns) %}
select {{ columns | join(', ') }}
from {{ model }}
group by {{ columns | join(', ') }}
having count(*) > 1
{% endtest %}

{#- The relation holds at least one row: every other test of an empty relation passes without having looked at anything. -#}
{% test not_empty(model) %}
select 'no rows' as reason
where not exists (select 1 from {{ model }})
    and not {{ env_var('MILLRACE_ALLOW_EMPTY', 'false') }}
{% endtest %}
