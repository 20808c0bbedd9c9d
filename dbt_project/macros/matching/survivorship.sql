{#
  Which value a golden record is given, by a configuration alone: docs/design/matching.md.

  A whole statement for the model that holds `config.meta.survivorship`: one row per golden record, field and value that its
  records offer. `value_rank` is 1 for the value that survives; of every other `lost_by` says what decided against it.
  Fields of one attribute are taken whole, from one record. `records` has the key and the configured columns, `clusters` a row
  per record (`node`) with its golden id.
#}
{% macro survivorship(records, clusters, golden_id='cluster', node='node') %}
{%- if not execute -%}
select * from {{ records }} cross join {{ clusters }}
{%- else -%}
{%- set survivorship = survivorship_config(model) -%}
with members as (
    select
        cast(clusters.{{ golden_id }} as varchar) as golden_id,
        cast(records.{{ survivorship.key }} as varchar) as record_key,
        {% if survivorship.source is none -%}
        cast(null as varchar) as source_system,
        {% else -%}
        cast(records.{{ survivorship.source }} as varchar) as source_system,
        {% endif -%}
        {% if survivorship.updated_at is none -%}
        cast(null as timestamp) as updated_at,
        {% else -%}
        cast(records.{{ survivorship.updated_at }} as timestamp) as updated_at,
        {% endif -%}
        -- What the record counts.
        {% if survivorship.priority -%}
        case cast(records.{{ survivorship.source }} as varchar)
            {%- for source, counts in survivorship.priority.items() %}
            when '{{ source | replace("'", "''") }}' then {{ counts }}
            {%- endfor %}
            else 1
        end as priority
        {%- else -%}
        1 as priority
        {%- endif %}
        {%- for attribute in survivorship.attributes.values() %}
        {%- for field in attribute.fields %},
        nullif(trim(cast(records.{{ field }} as varchar)), '') as {{ field }}
        {%- endfor %}
        {%- if attribute.verified is not none %},
        case when records.{{ attribute.verified }} then 1 else 0 end as {{ attribute.name }}_verified
        {%- endif %}
        {%- endfor %}
    from {{ records }} as records
    inner join {{ clusters }} as clusters
        on cast(records.{{ survivorship.key }} as varchar) = cast(clusters.{{ node }} as varchar)
),

{% for attribute in survivorship.attributes.values() -%}
-- {{ attribute.name }}: by {{ attribute.prefer | join(', ') }}.
{{ attribute.name }}_offers as (
    select
        members.*,
        {% for field in attribute.fields -%}
        lower(coalesce({{ field }}, '')){% if not loop.last %} || '|' || {% endif %}
        {%- endfor %} as value_key,
        {% for field in attribute.fields -%}
        case when {{ field }} is null then 0 else 1 end{% if not loop.last %} + {% endif %}
        {%- endfor %} as completeness
    from members
    where
        {% for field in attribute.fields -%}
        {{ field }} is not null
        {%- if not loop.last %}
        or {% endif %}
        {%- endfor %}
),

{{ attribute.name }}_values as (
    select
        golden_id,
        value_key,
        count(*) as n_records,
        {% if attribute.verified is not none -%}
        max({{ attribute.name }}_verified) as verification,
        {% else -%}
        0 as verification,
        {% endif -%}
        max(completeness) as completeness,
        sum(priority) as agreement,
        max(priority) as priority,
        max(updated_at) as recency
    from {{ attribute.name }}_offers
    group by golden_id, value_key
),

{{ attribute.name }}_ranked as (
    select
        *,
        row_number() over (
            partition by golden_id
            order by
                {% for criterion in attribute.prefer -%}
                {{ criterion }} desc nulls last,
                {% endfor -%}
                value_key asc
        ) as value_rank
    from {{ attribute.name }}_values
),

-- Of each value the record whose spelling stands for it.
{{ attribute.name }}_records as (
    select
        *,
        row_number() over (
            partition by golden_id, value_key
            order by priority desc, updated_at desc nulls last, record_key asc
        ) as record_rank
    from {{ attribute.name }}_offers
),

{{ attribute.name }}_decided as (
    select
        records.*,
        ranked.value_rank,
        ranked.n_records,
        ranked.agreement,
        case
            when ranked.value_rank = 1 then null
            {%- for criterion in attribute.prefer %}
            when
                {{ criterion_key('ranked', criterion) }} < {{ criterion_key('winners', criterion) }}
                then '{{ criterion }}'
            {%- endfor %}
            else 'order'
        end as lost_by
    from {{ attribute.name }}_ranked as ranked
    inner join {{ attribute.name }}_records as records
        on
            ranked.golden_id = records.golden_id
            and ranked.value_key = records.value_key
            and records.record_rank = 1
    inner join {{ attribute.name }}_ranked as winners
        on ranked.golden_id = winners.golden_id and winners.value_rank = 1
),

{% endfor -%}
final as (
    {% for attribute in survivorship.attributes.values() -%}
    {% set last_attribute = loop.last -%}
    {% for field in attribute.fields -%}
    select
        golden_id,
        '{{ attribute.name }}' as attribute,
        '{{ field }}' as field,
        {{ field }} as value,
        value_rank,
        record_key,
        source_system,
        updated_at,
        n_records,
        agreement,
        lost_by
    from {{ attribute.name }}_decided
    {% if not (loop.last and last_attribute) -%}
    union all
    {% endif -%}
    {% endfor -%}
    {% endfor -%}
)

select * from final
{%- endif -%}
{% endmacro %}

{# Of a criterion that may be NULL: NULL is less than any value, on each warehouse. #}
{% macro criterion_key(relation, criterion) -%}
{%- if criterion == 'recency' -%}
coalesce({{ relation }}.recency, {{ beginning() }})
{%- else -%}
{{ relation }}.{{ criterion }}
{%- endif -%}
{%- endmacro %}

{# One row per golden record, a column for each field, from a model of `survivorship`. A whole statement. #}
{% macro surviving_values(survivors, fields) -%}
select
    golden_id
    {%- for field in fields %},
    max(case when field = '{{ field }}' then value end) as {{ field }}
    {%- endfor %}
from {{ survivors }}
where value_rank = 1
group by golden_id
{%- endmacro %}

{# What a model's `config.meta.survivorship` says, with defaults in place. `revetl check` names a mistake with its line; this one its key. #}
{% macro survivorship_config(node) %}
{%- set given = node.config.meta.get('survivorship') -%}
{%- set file = (node.patch_path or node.original_file_path).split('://') | last -%}
{%- if given is none -%}
    {{ exceptions.raise_compiler_error(node.name ~ ': config.meta.survivorship is missing; it says which value a golden record is given') }}
{%- endif -%}
{%- for key in ['key', 'attributes'] if not given.get(key) -%}
    {{ exceptions.raise_compiler_error(file ~ ': ' ~ key ~ ' is missing') }}
{%- endfor -%}
{%- if given.get('priority') and not given.get('source') -%}
    {{ exceptions.raise_compiler_error(file ~ ': priority: source is missing; it names the column that the priority is by') }}
{%- endif -%}
{%- set criteria = ['verification', 'completeness', 'agreement', 'priority', 'recency'] -%}
{%- set attributes = {} -%}
{%- for name, attribute in given.attributes.items() -%}
    {%- for criterion in attribute.get('prefer', []) if criterion not in criteria -%}
        {{ exceptions.raise_compiler_error(file ~ ': attributes.' ~ name ~ '.prefer: ' ~ criterion ~ ' is none of ' ~ criteria | join(', ')) }}
    {%- endfor -%}
    {%- do attributes.update({name: {
        'name': name,
        'fields': attribute.get('fields', [name]),
        'verified': attribute.get('verified'),
        'prefer': attribute.get('prefer', criteria),
    }}) -%}
{%- endfor -%}
{{ return({
    'key': given.key,
    'source': given.get('source'),
    'updated_at': given.get('updated_at'),
    'priority': given.get('priority', {}),
    'attributes': attributes,
}) }}
{% endmacro %}
