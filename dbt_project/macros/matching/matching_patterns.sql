{#
  What `revetl match train` learns from, a whole statement: how many pairs have which levels. One row per pattern of levels, among
  the `candidates` (all rows of `pairs`, a model of matching_pairs) and among pairs by `chance`. A few thousand rows at most.
#}
{% macro matching_patterns(records, pairs) %}
{%- if not execute -%}
select * from {{ records }} cross join {{ pairs }}
{%- else -%}
{%- set nodes = graph.nodes.values() | selectattr('relation_name', 'defined') | selectattr('relation_name', 'equalto', pairs | string) | list -%}
{%- if not nodes -%}
    {{ exceptions.raise_compiler_error('matching_patterns: ' ~ pairs ~ ' is no model of this project') }}
{%- endif -%}
{%- set matching = matching_config(nodes[0]) -%}
with {{ matching_keyed(records, matching) }},

{{ matching_chance(matching) }},

totals as (
    select count(*) as n_records
    from keyed
),

counted as (
    {% for sample, relation in [('candidates', pairs), ('chance', 'chance_levels')] -%}
    select
        '{{ sample }}' as sample
        {%- for name in matching.columns %},
        {{ name }}_level
        {%- endfor %},
        count(*) as n_pairs
    from {{ relation }}
    group by
        {% for name in matching.columns %}{{ name }}_level{% if not loop.last %}, {% endif %}{% endfor %}
    {% if not loop.last -%}
    union all
    {% endif -%}
    {%- endfor %}
),

final as (
    select
        counted.*,
        totals.n_records
    from counted
    cross join totals
)

select * from final
{%- endif -%}
{% endmacro %}

{# CTEs up to `keyed`: each column as it is compared. #}
{% macro matching_keyed(records, matching) -%}
spelled as (
    select
        cast({{ matching.key }} as varchar) as record_key
        {%- for name, column in matching.columns.items() %},
        {{ matching_normalised(name, column.kind) }} as {{ name }}
        {%- endfor %}
    from {{ records }}
),

keyed as (
    select
        record_key
        {%- for name, column in matching.columns.items() %},
        {{ matching_key(name, column.kind) }} as {{ name }}
        {%- endfor %}
    from spelled
)
{%- endmacro %}

{# CTEs up to `chance_levels`: the levels of random pairs. #}
{% macro matching_chance(matching) -%}
-- Pairs by chance: records in the order of a hash, each with those a few places on.
shuffled as (
    select
        record_key,
        row_number() over (order by md5(record_key), record_key) as place
    from keyed
),

offsets as (
    {% for offset in range(1, 51) -%}
    select {{ offset }} as places{% if not loop.last %} union all {% endif %}
    {%- endfor %}
),

chance_pairs as (
    select
        left_records.record_key as left_key,
        right_records.record_key as right_key
    from shuffled as left_records
    cross join offsets
    inner join shuffled as right_records on left_records.place + offsets.places = right_records.place
    where left_records.place <= 4000
),

chance_levels as (
    {{ matching_levels('chance_pairs', 'keyed', matching) }}
)
{%- endmacro %}
