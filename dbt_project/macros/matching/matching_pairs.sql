{#
  Matching of records with any columns, by a configuration alone: docs/design/matching.md.

  A whole statement for the model that holds `config.meta.matching`: one row per pair of records that share a block, with
  each column's level and weight in bits, and their sum. `records` has the key and the configured columns, one row per record.
  Weights are those of Fellegi and Sunter: log2(m / u), where m is how often a level is seen of one person's records and u of
  two people's. u of an equal value is that value's own frequency; of the other levels it is counted on random pairs.
  `weights`: the seed that `revetl match train` writes. What it has learned takes the place of both, but of u of equal values.
#}
{% macro matching_pairs(records, weights=none) %}
{%- if not execute -%}
select * from {{ records }}
{%- else -%}
{%- set matching = matching_config(model) -%}
with {{ matching_keyed(records, matching) }},

totals as (
    select count(*) as n_records
    from keyed
),

blocks as (
    {%- for rule in matching.blocking %}
    select
        record_key,
        {{ loop.index }} as block_rule,
        {% for part in rule %}{{ matching_block_part(part, matching) }}{% if not loop.last %} || '|' || {% endif %}{% endfor %} as block_key
    from keyed
    {% if not loop.last -%}
    union all
    {%- endif -%}
    {%- endfor -%}
),

-- A block of very many is not left out: there each record meets its neighbours, in the order of all columns.
placed as (
    select
        blocks.record_key,
        blocks.block_rule,
        blocks.block_key,
        count(*) over (partition by blocks.block_rule, blocks.block_key) as n_records,
        row_number() over (
            partition by blocks.block_rule, blocks.block_key
            order by {% for name in matching.columns %}keyed.{{ name }}, {% endfor %}blocks.record_key
        ) as place
    from blocks
    inner join keyed on blocks.record_key = keyed.record_key
    where blocks.block_key is not null
),

candidates as (
    select distinct
        least(left_records.record_key, right_records.record_key) as left_key,
        greatest(left_records.record_key, right_records.record_key) as right_key
    from placed as left_records
    inner join placed as right_records
        on
            left_records.block_rule = right_records.block_rule
            and left_records.block_key = right_records.block_key
            and left_records.place < right_records.place
            and (
                left_records.n_records <= {{ matching.max_records_per_block }}
                or right_records.place - left_records.place <= {{ matching.neighbours }}
            )
),

{{ matching_chance(matching) }},

chances as (
    select
        {%- for name, column in matching.columns.items() %}
        {%- for level in matching_level_names(column) %}
        (sum(case when {{ name }}_level = '{{ level }}' then 1 else 0 end) + 0.5)
        / cast(sum(case when {{ name }}_level = 'missing' then 0 else 1 end) + 1.5 as double precision) as {{ name }}_{{ level }}
        {%- if not loop.last %},{% endif %}
        {%- endfor %}
        {%- if not loop.last %},{% endif %}
        {%- endfor %}
    from chance_levels
),

{% if weights is not none -%}
learned as (
    select
        {%- for name, column in matching.columns.items() %}
        {%- for level in matching_level_names(column) %}
        {%- for measure in ['m', 'u'] %}
        max(case when column_name = '{{ name }}' and level = '{{ level }}' then {{ measure }} end)
            as {{ name }}_{{ level }}_{{ measure }}
        {%- if not loop.last %},{% endif %}
        {%- endfor %}
        {%- if not loop.last %},{% endif %}
        {%- endfor %}
        {%- if not loop.last %},{% endif %}
        {%- endfor %}
    from {{ weights }}
    where model = '{{ model.name }}'
),

{% endif -%}
{% for name in matching.columns -%}
{{ name }}_frequencies as (
    select
        {{ name }},
        count(*) / cast(sum(count(*)) over () as double precision) as frequency
    from keyed
    where {{ name }} is not null
    group by {{ name }}
),

{% endfor -%}
levels as (
    {{ matching_levels('candidates', 'keyed', matching) }}
),

weighed as (
    select
        levels.left_key,
        levels.right_key
        {%- for name in matching.columns %},
        levels.{{ name }}_level
        {%- endfor %}
        {%- for name, column in matching.columns.items() %},
        case levels.{{ name }}_level
            {%- for level in matching_level_names(column) %}
            when '{{ level }}'
                then ln({{ matching_agreement(name, level, column, weights) }} / {% if level == 'equal' -%}
                    coalesce({{ name }}_frequencies.frequency, chances.{{ name }}_equal)
                    {%- elif weights is not none -%}
                    coalesce(learned.{{ name }}_{{ level }}_u, chances.{{ name }}_{{ level }})
                    {%- else -%}
                    chances.{{ name }}_{{ level }}
                    {%- endif %}) / ln(2.0)
            {%- endfor %}
            else 0
        end as {{ name }}_weight
        {%- endfor %}
    from levels
    cross join chances
    {%- if weights is not none %}
    cross join learned
    {%- endif %}
    {%- for name in matching.columns %}
    left join {{ name }}_frequencies on levels.{{ name }}_value = {{ name }}_frequencies.{{ name }}
    {%- endfor %}
),

summed as (
    select
        weighed.*,
        -- How many pairs of all are one person's, before anything is compared.
        ln(2 * {{ matching.duplicates_per_record }} / cast(totals.n_records - 1 as double precision)) / ln(2.0)
        {%- for group in matching.evidence %}
        {%- if group | length == 1 %}
        + {{ group[0] }}_weight
        {%- else %}
        -- One piece of evidence in several columns counts once, by the column that says most.
        + greatest({% for name in group %}{{ name }}_weight{% if not loop.last %}, {% endif %}{% endfor %})
        {%- endif %}
        {%- endfor %} as evidence_weight
    from weighed
    cross join totals
),

final as (
    select
        *,
        {% if matching.vetoes or matching.rules -%}
        case
            {%- for name in matching.vetoes %}
            when {{ name }}_level not in ('equal', 'missing') then null
            {%- endfor %}
            {%- for rule in matching.rules %}
            when {% for name in rule %}{{ name }}_level = 'equal'{% if not loop.last %} and {% endif %}{% endfor %}
                then greatest(evidence_weight, {{ matching.rule_weight }})
            {%- endfor %}
            else evidence_weight
        end as weight
        {%- else -%}
        evidence_weight as weight
        {%- endif %}
    from summed
)

select * from final
{%- endif -%}
{% endmacro %}

{# m of a level: as learned, where there is something learned of it. #}
{% macro matching_agreement(name, level, column, weights) %}
{%- if weights is not none -%}
coalesce(learned.{{ name }}_{{ level }}_m, {{ column.agreement[level] }})
{%- else -%}
{{ column.agreement[level] }}
{%- endif -%}
{% endmacro %}
