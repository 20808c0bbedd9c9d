{#
  One row per golden record that has an accepted, unexpired value for any of `fields`; per field the winner with where it
  came from. The best verification wins, then the highest confidence, then the newest, then the provider's name.
#}
{% macro enrichment_winners(golden, fields) -%}
with usable as (
    select
        v.*,
        row_number() over (
            partition by v.key, v.field
            order by
                case v.verification when 'valid' then 0 when 'catch_all' then 2 when 'unknown' then 3 when 'invalid' then 4 else 1 end asc,
                coalesce(v.confidence, 0) desc,
                v.observed_at desc,
                v.provider asc
        ) as value_rank
    from {{ source('revetl', 'enrichment_values') }} as v
    inner join {{ ref(golden) }} as g on v.key = g.golden_id
    where
        v.entity = '{{ golden }}'
        and v.value is not null
        and v.rejected_reason is null
        and (v.expires_at is null or v.expires_at > {{ now_utc() }})
)

select
    key as golden_id,
    {% for field in fields -%}
    max(case when field = '{{ field }}' then value end) as {{ field }},
    max(case when field = '{{ field }}' then provider end) as {{ field }}_source,
    max(case when field = '{{ field }}' then confidence end) as {{ field }}_confidence,
    max(case when field = '{{ field }}' then verification end) as {{ field }}_verification,
    max(case when field = '{{ field }}' then observed_at end) as {{ field }}_observed_at{{ "," if not loop.last }}
    {% endfor %}
from usable
where value_rank = 1
group by key
{%- endmacro %}
