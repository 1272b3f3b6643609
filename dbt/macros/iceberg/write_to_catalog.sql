{#- Write the model's rows into its Iceberg table by a strategy: replace, append, delete+insert, insert_overwrite, merge,
    replace_changed_dates or replace_touched_dates. Hooks that are rendered here run inside the transaction of the write,
    again if it is repeated. -#}
{% macro write_to_catalog(strategy, sql=none) %}
    {%- set strategy = (strategy | replace('_insert', '+insert')) if strategy == 'delete_insert' else strategy -%}
    {%- if model['language'] == 'python' -%}
        {{ exceptions.raise_compiler_error(
            "model " ~ model.name ~ ": Python models are refused on the target iceberg: a repeated write would have to run "
            ~ "them again. Write it in SQL, or give it database: local"
        ) }}
    {%- endif -%}
    {%- set by_date = ('replace_changed_dates', 'replace_touched_dates') -%}
    {%- if strategy not in ('replace', 'append', 'delete+insert', 'insert_overwrite', 'merge') + by_date -%}
        {{ exceptions.raise_compiler_error(
            "model " ~ model.name ~ ": incremental_strategy " ~ strategy ~ " is refused on the target iceberg; take append, "
            ~ "delete+insert, insert_overwrite, merge, " ~ (by_date | join(' or '))
        ) }}
    {%- endif -%}
    {%- if config.get('on_schema_change') == 'sync_all_columns' -%}
        {{ exceptions.raise_compiler_error(
            "model " ~ model.name ~ ": on_schema_change sync_all_columns is refused on the target iceberg, it would drop "
            ~ "columns for good; take append_new_columns, fail or ignore"
        ) }}
    {%- endif -%}
    {%- do notice_what_is_skipped() -%}

    {{ run_hooks(pre_hooks, inside_transaction=False) }}
    {%- set answer = {} -%}
    {%- do adapter.store_relation('writer', this, [], '', 'iceberg', {
        'database': this.database,
        'namespace': this.schema,
        'name': this.identifier,
        'sql': sql or compiled_code,
        'sql_header': config.get('sql_header', none),
        'strategy': strategy,
        'unique_key': config.get('unique_key', none),
        'predicates': config.get('incremental_predicates', none) or config.get('predicates', none),
        'changed_dates': changed_dates() if strategy in by_date else none,
        'touched_dates': touched_dates() if strategy in by_date else none,
        'changes_of': source(*config.get('changes_of')) | string if config.get('changes_of') else none,
        'code_above': code_above(model) if config.get('changes_of') else (),
        'partition_by': config.get('partition_by', none) or config.get('partitioned_by', none),
        'format_version': config.get('format_version', none),
        'contract': contract_columns(),
        'on_schema_change': config.get('on_schema_change') or 'ignore',
        'is_full_refresh': should_full_refresh(),
        'pre_hooks': rendered_hooks(pre_hooks),
        'post_hooks': rendered_hooks(post_hooks),
        'answer': answer,
    }) -%}
    {%- do store_result('main', response=answer['response']) -%}
    {{ run_hooks(post_hooks, inside_transaction=False) }}
    {{ return({'relations': [this.incorporate(type='table')]}) }}
{% endmacro %}

{#- The code of the views that a node reads, directly or through others. -#}
{% macro code_above(node) -%}
    {%- set found = [] -%}
    {%- for one in node.depends_on.nodes if one in graph.nodes and graph.nodes[one].config.materialized == 'view' -%}
        {%- do found.append(graph.nodes[one].raw_code) -%}
        {%- do found.extend(code_above(graph.nodes[one])) -%}
    {%- endfor -%}
    {{ return(found) }}
{%- endmacro %}

{#- Columns of the contract; none without one. -#}
{% macro contract_columns() -%}
    {%- set found = [] -%}
    {%- if config.get('contract') and config.get('contract').enforced -%}
        {%- for column in model['columns'].values() -%}
            {%- set kinds = (column.get('constraints') or []) | map(attribute='type') | map('string') | list -%}
            {%- for kind in kinds if kind | lower not in ('not_null', 'constrainttype.not_null') -%}
                {{ exceptions.raise_compiler_error(
                    "model " ~ model.name ~ ", column " ~ column['name'] ~ ": Iceberg enforces not_null only; check " ~ kind
                    ~ " with a data test"
                ) }}
            {%- endfor -%}
            {%- do found.append({'name': column['name'], 'type': column['data_type'], 'is_required': kinds | length > 0}) -%}
        {%- endfor -%}
    {%- endif -%}
    {{ return(found) }}
{%- endmacro %}

{% macro rendered_hooks(hooks) -%}
    {%- set found = [] -%}
    {%- for hook in hooks if hook.get('transaction', true) -%}
        {%- set sql = render(hook.get('sql')) | trim -%}
        {%- do found.append(sql) if sql -%}
    {%- endfor -%}
    {{ return(found) }}
{%- endmacro %}

{% macro notice_what_is_skipped() -%}
    {%- if config.get('grants') -%}
        {%- do adapter.warn_once("grants are skipped: the catalog gives them, not DuckDB") -%}
    {%- endif -%}
    {%- if config.persist_relation_docs() or config.persist_column_docs() -%}
        {%- do adapter.warn_once("persist_docs is skipped: DuckDB writes no comments to Iceberg; Dagster shows them") -%}
    {%- endif -%}
{%- endmacro %}
