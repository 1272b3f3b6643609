{#- Where a node is: tables of the target `iceberg` in the catalog, everything else in the local database. -#}

{#- Whether a node is a table of the catalog: on the target `iceberg` every model, seed and snapshot that is not ephemeral
    and has not asked for the database `local`. -#}
{% macro is_in_catalog(node) -%}
    {{- return(
        target.name == 'iceberg'
        and node.resource_type in ('model', 'seed', 'snapshot')
        and node.config.materialized != 'ephemeral'
        and node.config.database != 'local'
    ) -}}
{%- endmacro %}

{#- `local` is the database that dbt works in, which is also where everything is on the other targets. -#}
{% macro generate_database_name(custom_database_name=none, node=none) -%}
    {%- if node is not none and is_in_catalog(node) -%}
        lakehouse
    {%- elif custom_database_name is none or custom_database_name == 'local' -%}
        {{ target.database }}
    {%- else -%}
        {{ custom_database_name | trim }}
    {%- endif -%}
{%- endmacro %}

{#- The schema that is configured, without the target's in front of it. In the catalog it names a layer. -#}
{% macro generate_schema_name(custom_schema_name, node) -%}
    {%- set schema = (custom_schema_name or target.schema) | trim -%}
    {%- if is_in_catalog(node) -%}
        {%- set layers = var('layers') -%}
        {%- if schema not in layers -%}
            {{ exceptions.raise_compiler_error(
                node.resource_type ~ " " ~ node.name ~ ": schema " ~ schema ~ " is no layer, so it has no namespace in the "
                ~ "catalog; layers: " ~ (layers | join(', ')) ~ ". Take one of them as +schema, or add the layer to "
                ~ "vars.layers in dbt_project.yml"
            ) }}
        {%- endif -%}
        {{ layers[schema] }}
    {%- else -%}
        {{ schema }}
    {%- endif -%}
{%- endmacro %}
