{#
  The end of a model's `with`: one row per golden record and field, the value that survives and the best of those that
  it beat. `candidates` names
  a CTE with golden_id, field, value (text), record_key, updated_at and priority (the smallest wins; then the newest).
#}
{% macro survivors(candidates) -%}
ranked as (
    select
        *,
        row_number() over (
            partition by golden_id, field order by priority asc, updated_at desc, record_key asc
        ) as value_rank,
        count(*) over (partition by golden_id, field) as n_candidates
    from {{ candidates }}
),

winners as (
    select * from ranked where value_rank = 1
),

beaten as (
    select
        r.golden_id,
        r.field,
        r.value,
        r.record_key,
        row_number() over (partition by r.golden_id, r.field order by r.value_rank asc) as beaten_rank
    from ranked as r
    inner join winners as w on r.golden_id = w.golden_id and r.field = w.field
    where r.value <> w.value
)

select
    w.golden_id,
    w.field,
    w.value,
    w.record_key,
    w.updated_at,
    w.priority,
    w.n_candidates,
    b.value as beaten_value,
    b.record_key as beaten_record_key
from winners as w
left join beaten as b on w.golden_id = b.golden_id and w.field = b.field and b.beaten_rank = 1
{%- endmacro %}

{# One row per golden record from `survivors`: a column per field. #}
{% macro pivot_survivors(relation, fields) -%}
select
    golden_id,
    {% for field in fields -%}
    max(case when field = '{{ field }}' then value end) as {{ field }}{{ "," if not loop.last }}
    {% endfor %}
from {{ relation }}
group by golden_id
{%- endmacro %}
