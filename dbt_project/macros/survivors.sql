{#
  One row per golden record and field: the value that survives, and the best of those that it beat. A whole statement.
  `candidates` names a relation or CTE with golden_id, field, value (text), record_key, updated_at and priority. The
  smallest priority wins; then the newest record.
#}
{% macro survivors(candidates) -%}
with ranked as (
    select
        *,
        row_number() over (
            partition by golden_id, field
            order by priority asc, updated_at desc, record_key asc
        ) as value_rank,
        count(*) over (partition by golden_id, field) as n_candidates
    from {{ candidates }}
),

winners as (
    select * from ranked
    where value_rank = 1
),

beaten as (
    select
        ranked.golden_id,
        ranked.field,
        ranked.value,
        ranked.record_key,
        row_number() over (
            partition by ranked.golden_id, ranked.field
            order by ranked.value_rank asc
        ) as beaten_rank
    from ranked
    inner join winners
        on ranked.golden_id = winners.golden_id and ranked.field = winners.field
    where ranked.value <> winners.value
)

select
    winners.golden_id,
    winners.field,
    winners.value,
    winners.record_key,
    winners.updated_at,
    winners.priority,
    winners.n_candidates,
    beaten.value as beaten_value,
    beaten.record_key as beaten_record_key
from winners
left join beaten
    on
        winners.golden_id = beaten.golden_id
        and winners.field = beaten.field
        and beaten.beaten_rank = 1
{%- endmacro %}

{# One row per golden record, with a column per field, from rows of golden_id, field and value. A whole statement. #}
{% macro pivot_fields(relation, fields) -%}
select
    golden_id
    {%- for field in fields %},
    max(case when field = '{{ field }}' then value end) as {{ field }}
    {%- endfor %}
from {{ relation }}
group by golden_id
{%- endmacro %}

{# What stewards pinned, as candidates that nothing beats. A whole statement; `members` has record_key and `golden_id`, or the column named. #}
{% macro pinned_candidates(entity, members, golden_id='golden_id') -%}
select
        members.{{ golden_id }}{% if golden_id != 'golden_id' %} as golden_id{% endif %},
        pins.field,
        pins.value,
        members.record_key,
        cast(null as timestamp) as updated_at,
        -1 as priority
    from {{ ref('steward_pins') }} as pins
    inner join {{ members }} as members on pins.record_key = members.record_key
    where pins.entity = '{{ entity }}'
{%- endmacro %}
