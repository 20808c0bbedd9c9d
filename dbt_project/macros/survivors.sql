{#
  One row per golden record, field and value that its records offer: `value_rank` is 1 for the value that survives, and `lost_by`
  says of every other one what decided against it. A whole statement. `candidates` names a relation or CTE with golden_id, field,
  value (text), record_key, updated_at, and three numbers of which the smallest wins, in this order: `penalty` (-1 where a steward
  pinned the value), `outvoted` (1 where several more records agree on another value), `priority`; then the newest record does.
#}
{% macro ranked_values(candidates) -%}
with ranked as (
    select
        *,
        row_number() over (
            partition by golden_id, field
            order by penalty asc, outvoted asc, priority asc, updated_at desc nulls last, record_key asc
        ) as record_rank
    from {{ candidates }}
),

offered as (
    select
        golden_id,
        field,
        value,
        min(record_rank) as record_rank,
        count(*) as n_records
    from ranked
    group by golden_id, field, value
),

-- Of each value the best of the records that offer it.
best as (
    select
        ranked.*,
        offered.n_records,
        row_number() over (
            partition by ranked.golden_id, ranked.field
            order by ranked.record_rank asc
        ) as value_rank
    from ranked
    inner join offered
        on
            ranked.golden_id = offered.golden_id
            and ranked.field = offered.field
            and ranked.record_rank = offered.record_rank
)

select
    best.golden_id,
    best.field,
    best.value,
    best.value_rank,
    best.record_key,
    best.updated_at,
    best.n_records,
    case
        when best.value_rank = 1 then null
        when winners.penalty = -1 then 'pinned'
        when best.penalty > winners.penalty then 'completeness'
        when best.outvoted > winners.outvoted then 'agreement'
        when best.priority > winners.priority then 'priority'
        when coalesce(best.updated_at, {{ beginning() }}) < coalesce(winners.updated_at, {{ beginning() }}) then 'recency'
        else 'order'
    end as lost_by
from best
inner join best as winners
    on
        best.golden_id = winners.golden_id
        and best.field = winners.field
        and winners.value_rank = 1
{%- endmacro %}

{# Before any date that a record has: a date that is not known. #}
{% macro beginning() %}cast('0001-01-01' as timestamp){% endmacro %}

{# One row per golden record and field: the value that survives, and the best of those that it beat. A whole statement, of `ranked_values`. #}
{% macro survivors(offered_values) -%}
with offered as (
    select
        *,
        sum(n_records) over (partition by golden_id, field) as n_candidates
    from {{ offered_values }}
)

select
    winners.golden_id,
    winners.field,
    winners.value,
    winners.record_key,
    winners.updated_at,
    winners.n_candidates,
    beaten.value as beaten_value,
    beaten.record_key as beaten_record_key
from offered as winners
left join offered as beaten
    on
        winners.golden_id = beaten.golden_id
        and winners.field = beaten.field
        and beaten.value_rank = 2
where winners.value_rank = 1
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
        -1 as penalty,
        0 as outvoted,
        0 as priority
    from {{ ref('steward_pins') }} as pins
    inner join {{ members }} as members on pins.record_key = members.record_key
    where pins.entity = '{{ entity }}'
{%- endmacro %}
