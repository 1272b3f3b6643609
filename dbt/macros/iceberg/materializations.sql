{#-
  Materializations of the target `iceberg`. `table` and `incremental` are dbt's own names, so that a model is written the
  same way on every target; on the others they do what dbt-duckdb does. The work is in orchestration/dbt_plugin/writing.
-#}

{% materialization table, adapter='duckdb', supported_languages=['sql', 'python'] %}
    {{ return(write_to_catalog('replace') if is_in_catalog(model) else dbt.materialization_table_duckdb()) }}
{% endmaterialization %}

{% materialization iceberg_table, adapter='duckdb', supported_languages=['sql', 'python'] %}
    {{ return(write_to_catalog('replace') if is_in_catalog(model) else dbt.materialization_table_duckdb()) }}
{% endmaterialization %}

{% materialization incremental, adapter='duckdb', supported_languages=['sql', 'python'] %}
    {%- if is_in_catalog(model) -%}
        {{ return(write_to_catalog(config.get('incremental_strategy') or 'delete+insert')) }}
    {%- endif -%}
    {{ return(dbt.materialization_incremental_duckdb()) }}
{% endmaterialization %}

{% materialization iceberg_incremental, adapter='duckdb', supported_languages=['sql', 'python'] %}
    {%- if is_in_catalog(model) -%}
        {{ return(write_to_catalog(config.get('incremental_strategy') or 'delete+insert')) }}
    {%- endif -%}
    {{ return(dbt.materialization_incremental_duckdb()) }}
{% endmaterialization %}

{% materialization view, adapter='duckdb' %}
    {%- if is_in_catalog(model) -%}
        {{ exceptions.raise_compiler_error(
            "model " ~ model.name ~ " is a view in " ~ this.database ~ "." ~ this.schema ~ ": DuckDB cannot create views in "
            ~ "an Iceberg catalog. Three ways out: materialized: table; materialized: ephemeral; or database: local, a view "
            ~ "in dbt's working database that nobody else sees"
        ) }}
    {%- endif -%}
    {{ return(dbt.materialization_view_default()) }}
{% endmaterialization %}

{% materialization snapshot, adapter='duckdb' %}
    {%- if target.name == 'iceberg' -%}
        {{ exceptions.raise_compiler_error(
            "snapshot " ~ model.name ~ ": refused on the target iceberg. dbt updates a snapshot in several statements, and "
            ~ "the working database does not last. Iceberg keeps history by itself: select ... at (version => <id>)"
        ) }}
    {%- endif -%}
    {{ return(dbt.materialization_snapshot_default()) }}
{% endmaterialization %}

{% materialization clone, adapter='duckdb' %}
    {%- if target.name == 'iceberg' -%}
        {{ exceptions.raise_compiler_error(
            "dbt clone is refused on the target iceberg: DuckDB cannot make an Iceberg table that shares another one's files"
        ) }}
    {%- endif -%}
    {{ return(dbt.materialization_clone_default()) }}
{% endmaterialization %}

{#- A seed's file is read by DuckDB with the declared types; all of it is replaced, and an unchanged one writes nothing. -#}
{% materialization seed, adapter='duckdb' %}
    {%- if not is_in_catalog(model) -%}
        {{ return(dbt.materialization_seed_default()) }}
    {%- endif -%}
    {%- set agate_table = load_agate_table() -%}
    {%- do store_result('agate_table', response='OK', agate_table=agate_table) -%}
    {{ return(write_to_catalog('replace', sql=read_seed(model, agate_table))) }}
{% endmaterialization %}

{% macro read_seed(model, agate_table) -%}
    {%- set types = model['config'].get('column_types') or {} -%}
    {%- set columns = [] -%}
    {%- for name in agate_table.column_names -%}
        {%- set type = types.get(name) or adapter.convert_type(agate_table, loop.index0) -%}
        {%- do columns.append("'" ~ adapter.escape_sql_string(name) ~ "': '" ~ type ~ "'") -%}
    {%- endfor -%}
    select * from read_csv(
        '{{ adapter.escape_sql_string(adapter.get_seed_file_path(model)) }}',
        header = true, delim = '{{ config.get('delimiter', ',') }}', columns = {{ '{' }}{{ columns | join(', ') }}{{ '}' }}
    )
{%- endmacro %}

{#- True while an existing table is brought up to date. A table without a snapshot was created by a build that died before
    its first commit: it counts as not there. -#}
{% macro is_incremental() -%}
    {%- if not execute or should_full_refresh()
        or model.config.materialized not in ('incremental', 'iceberg_incremental') -%}
        {{ return(false) }}
    {%- endif -%}
    {%- if is_in_catalog(model) -%}
        {%- set answer = {} -%}
        {%- do adapter.store_relation('writer', this, [], '', 'iceberg', {'question': 'has_content', 'answer': answer}) -%}
        {{ return(answer['has_content']) }}
    {%- endif -%}
    {%- set relation = adapter.get_relation(this.database, this.schema, this.table) -%}
    {{ return(relation is not none and relation.type == 'table') }}
{%- endmacro %}

{#- dbt's list of what exists. Of the catalog it is empty: nothing here needs it, and asking DuckDB for all tables breaks
    when another process makes one meanwhile (see `stored_columns` in orchestration/dbt_plugin/writing/write.py). -#}
{% macro duckdb__list_relations_without_caching(schema_relation) -%}
    {%- if target.name == 'iceberg' and schema_relation.database == 'lakehouse' -%}
        {{ return([]) }}
    {%- endif -%}
    {{ return(dbt.duckdb__list_relations_without_caching(schema_relation)) }}
{%- endmacro %}
