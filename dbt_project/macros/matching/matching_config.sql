{# What a model's `config.meta.matching` says, with defaults in place. `revetl check` names a mistake with its line; this one its key. #}
{% macro matching_config(node) %}
{%- set given = node.config.meta.get('matching') -%}
{%- set file = (node.patch_path or node.original_file_path).split('://') | last -%}
{%- if given is none -%}
    {{ exceptions.raise_compiler_error(node.name ~ ': config.meta.matching is missing; it says by which columns records are compared') }}
{%- endif -%}
{%- set levels = {
    'name': ['equal', 'similar', 'other'], 'text': ['equal', 'similar', 'other'], 'date': ['equal', 'similar', 'other'],
    'email': ['equal', 'other'], 'phone': ['equal', 'other'], 'domain': ['equal', 'other'], 'identifier': ['equal', 'other'],
} -%}
{%- set agreements = {2: {'equal': 0.95, 'other': 0.05}, 3: {'equal': 0.9, 'similar': 0.08, 'other': 0.02}} -%}
{%- set columns = {} -%}
{%- for name, column in given.get('columns', {}).items() -%}
    {%- if column.get('kind') not in levels -%}
        {{ exceptions.raise_compiler_error(file ~ ': columns.' ~ name ~ '.kind: ' ~ column.get('kind') ~ ' is none of ' ~ levels.keys() | join(', ')) }}
    {%- endif -%}
    {%- set agreement = {} -%}
    {%- do agreement.update(agreements[levels[column.kind] | length]) -%}
    {%- do agreement.update(column.get('agreement', {})) -%}
    {%- do columns.update({name: {'kind': column.kind, 'agreement': agreement}}) -%}
{%- endfor -%}
{%- for key in ['key', 'columns', 'blocking'] if not given.get(key) -%}
    {{ exceptions.raise_compiler_error(file ~ ': ' ~ key ~ ' is missing') }}
{%- endfor -%}
{%- set grouped = given.get('evidence', []) | sum(start=[]) -%}
{%- set evidence = given.get('evidence', []) | list -%}
{%- for name in columns if name not in grouped -%}
    {%- do evidence.append([name]) -%}
{%- endfor -%}
{%- set named = grouped + given.get('vetoes', []) + given.get('rules', []) | sum(start=[]) -%}
{%- for rule in given.blocking -%}
    {%- for part in rule -%}{%- do named.append(part.split('.')[0]) -%}{%- endfor -%}
{%- endfor -%}
{%- for name in named if name not in columns -%}
    {{ exceptions.raise_compiler_error(file ~ ': ' ~ name ~ ' is none of the columns: ' ~ columns.keys() | join(', ')) }}
{%- endfor -%}
{{ return({
    'key': given.key,
    'columns': columns,
    'blocking': given.blocking,
    'evidence': evidence,
    'rules': given.get('rules', []),
    'vetoes': given.get('vetoes', []),
    'rule_weight': given.get('rule_weight', 10),
    'duplicates_per_record': given.get('duplicates_per_record', 0.1),
    'max_records_per_block': given.get('max_records_per_block', 100),
    'neighbours': given.get('neighbours', 10),
}) }}
{% endmacro %}

{# The levels of a column, the best first. Beside them `missing`: one record has no value, which says nothing. #}
{% macro matching_level_names(column) %}
{{ return(['equal', 'similar', 'other'] if column.kind in ['name', 'text', 'date'] else ['equal', 'other']) }}
{% endmacro %}

{# A column as it is compared. A date is text, YYYY-MM-DD, so that a month 00 that somebody typed is compared too. #}
{% macro matching_normalised(name, kind) %}
{%- if kind == 'name' -%}
{{ name_key(name) }}
{%- elif kind == 'text' -%}
{{ fold_letters(name) }}
{%- elif kind == 'email' -%}
{{ email_key(normalise_email(name)) }}
{%- elif kind == 'phone' -%}
{{ phone_digits(name) }}
{%- elif kind == 'domain' -%}
{{ normalise_domain(name) }}
{%- elif kind == 'date' -%}
substr(cast({{ name }} as varchar), 1, 10)
{%- else -%}
nullif({{ regex_replace('lower(cast(' ~ name ~ ' as varchar))', '[^a-z0-9]', '') }}, '')
{%- endif -%}
{% endmacro %}

{# What is left to do of that, in a step of its own: it uses the value more than once. #}
{% macro matching_key(name, kind) %}
{%- if kind == 'name' -%}
{{ without_umlaut_e(name) }}
{%- elif kind == 'text' -%}
{{ company_words(name) }}
{%- else -%}
{{ name }}
{%- endif -%}
{% endmacro %}

{% macro matching_date_parts() %}{{ return(['year', 'month', 'day']) }}{% endmacro %}

{% macro matching_date_part(date, part) %}
{%- set start, length = {'year': (1, 4), 'month': (6, 2), 'day': (9, 2)}[part] -%}
substr({{ date }}, {{ start }}, {{ length }})
{%- endmacro %}

{# What a blocking rule takes of a column: all of it, a part of a date (birth_date.year), or its first three letters (last_name.start). #}
{% macro matching_block_part(part, matching) %}
{%- set name = part.split('.')[0] -%}
{%- set piece = part.split('.')[1] if '.' in part else '' -%}
{%- if piece in matching_date_parts() -%}
{{ matching_date_part(name, piece) }}
{%- elif piece == 'start' -%}
substr({{ name }}, 1, 3)
{%- elif piece == '' -%}
{{ name }}
{%- else -%}
{{ exceptions.raise_compiler_error('matching: ' ~ part ~ ': after the dot stands year, month, day or start') }}
{%- endif -%}
{% endmacro %}

{# A whole statement: per pair of `pairs` (left_key, right_key) each column's level, and the value where both have the same. #}
{% macro matching_levels(pairs, records, matching) -%}
select
        pairs.left_key,
        pairs.right_key
        {%- for name, column in matching.columns.items() %},
        case
            when left_records.{{ name }} is null or right_records.{{ name }} is null then 'missing'
            when left_records.{{ name }} = right_records.{{ name }} then 'equal'
            {%- if column.kind in ['name', 'text'] %}
            when {{ similar_keys('left_records.' ~ name, 'right_records.' ~ name) }} then 'similar'
            {%- elif column.kind == 'date' %}
            when
                {% for part in matching_date_parts() -%}
                case
                    when
                        {{ matching_date_part('left_records.' ~ name, part) }}
                        = {{ matching_date_part('right_records.' ~ name, part) }}
                        then 1
                    else 0
                end
                {%- if not loop.last %} + {% endif %}
                {%- endfor %} = 2
                then 'similar'
            {%- endif %}
            else 'other'
        end as {{ name }}_level,
        case when left_records.{{ name }} = right_records.{{ name }} then left_records.{{ name }} end as {{ name }}_value
        {%- endfor %}
    from {{ pairs }} as pairs
    inner join {{ records }} as left_records on pairs.left_key = left_records.record_key
    inner join {{ records }} as right_records on pairs.right_key = right_records.record_key
{%- endmacro %}

{# For the model of components (materialized='connected_components'): pairs above the loose cut, and each record by itself. #}
{% macro matching_edges(pairs, records, key, cut=-4) -%}
select
    left_key,
    right_key
from {{ pairs }}
where weight > {{ cut }}
union all
select
    cast({{ key }} as varchar) as left_key,
    cast({{ key }} as varchar) as right_key
from {{ records }}
{%- endmacro %}

{#
  For the model of clusters (materialized='linkage'): what was compared inside each component, and each record by itself. `threshold` in
  bits: 0 where a pair is as likely one person as two, 4 where it is sixteen times as likely.
#}
{% macro matching_links(pairs, components, threshold=0) -%}
select
    pairs.left_key,
    pairs.right_key,
    pairs.weight - {{ threshold }} as weight
from {{ pairs }} as pairs
inner join {{ components }} as left_components on pairs.left_key = left_components.node
inner join {{ components }} as right_components on pairs.right_key = right_components.node
where left_components.component = right_components.component
union all
select
    node as left_key,
    node as right_key,
    0 as weight
from {{ components }}
{%- endmacro %}
