{#-
  Incremental strategy `replace_changed_dates`: bring exactly the dates up to date whose source rows changed.

  A date has changed if the multiset of (row key, version) of its rows differs between the source and the table itself.
  Both sides are looked at in each build, so there is no marker that could be lost, be written too early, or miss a row
  that arrived late: late rows for old days, replaced rows and vanished dates all show. Deletion and insertion are one
  transaction.

  In the model:
    config(incremental_strategy='replace_changed_dates', unique_key='<date column>', changes_of=['<source>', '<table>'],
           pre_hook="{{ find_changed_dates(ref('<source>'), '<date column>', '<key>', '<version>') }}")
  and `where {{ in_changed_dates('<date column>') }}`.

  `changes_of` is the Iceberg table with the date column, from which alone changes come. With it only those dates are
  compared whose files in it are others than at the last build (orchestration/dbt_plugin/writing/touched.py).

  Incremental strategy `replace_touched_dates`: the same without the comparison of rows, for small tables of sums: the
  dates with other files are computed again, or all of them. It needs `changes_of`, and the target iceberg.
-#}

{#- Name of the temporary table that holds the changed dates of this model during its build. -#}
{% macro changed_dates() -%}
    {{ this.identifier }}__changed_dates
{%- endmacro %}

{#- Name of the temporary table that holds the dates whose files changed; the writer fills it. -#}
{% macro touched_dates() -%}
    {{ this.identifier }}__{{ 'changed' if config.get('incremental_strategy') == 'replace_touched_dates' else 'touched' }}_dates
{%- endmacro %}

{#- Condition that holds for rows of the dates that this build replaces. -#}
{% macro in_changed_dates(date_column) -%}
    {%- if is_incremental() -%}
        {{ date_column }} in (select changed_date from {{ changed_dates() }})
    {%- else -%}
        true
    {%- endif -%}
{%- endmacro %}

{#- Pre-hook: fill that table. The first build and a full refresh take every date and need none. -#}
{% macro find_changed_dates(source_relation, date_column, key_column, version_column) %}
{%- if is_incremental() -%}
create or replace temp table {{ changed_dates() }} as
with source_dates as (
    {{ date_fingerprints(source_relation, date_column, key_column, version_column) }}
),

stored_dates as (
    {{ date_fingerprints(this, date_column, key_column, version_column) }}
)

select coalesce(source_dates.date_day, stored_dates.date_day) as changed_date
from source_dates
full outer join stored_dates on source_dates.date_day = stored_dates.date_day
where source_dates.fingerprint is distinct from stored_dates.fingerprint
    or source_dates.row_count is distinct from stored_dates.row_count
{%- else -%}
select 1
{%- endif -%}
{% endmacro %}

{#- One row a date: how many rows it has, and a number that depends on their content but not on their order (a sum, not
    an xor, which would cancel equal rows). -#}
{% macro date_fingerprints(relation, date_column, key_column, version_column) -%}
    select
        {{ date_column }} as date_day,
        count(*) as row_count,
        sum(hash({{ key_column }}, cast({{ version_column }} as timestamp))) as fingerprint
    from {{ relation }}
    {%- if is_in_catalog(model) and config.get('changes_of') %}
    where {{ date_column }} in (select changed_date from {{ touched_dates() }})
    {%- endif %}
    group by {{ date_column }}
{%- endmacro %}

{#- Called by dbt's incremental materialization, inside its transaction. -#}
{% macro get_incremental_replace_changed_dates_sql(arg_dict) %}
    {%- set columns = get_quoted_csv(arg_dict['dest_columns'] | map(attribute='name')) -%}
    delete from {{ arg_dict['target_relation'] }}
    where {{ arg_dict['unique_key'] }} in (select changed_date from {{ changed_dates() }});

    insert into {{ arg_dict['target_relation'] }} ({{ columns }})
    select {{ columns }}
    from {{ arg_dict['temp_relation'] }}
{% endmacro %}
