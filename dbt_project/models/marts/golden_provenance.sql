{% for entity in ['contact', 'company'] -%}
select
    '{{ entity }}' as entity,
    golden_id,
    field,
    value,
    record_key,
    updated_at,
    cast(n_candidates as integer) as n_candidates,
    beaten_value,
    beaten_record_key
from {{ ref('int_' ~ entity ~ '_survivors') }}
{% if not loop.last %}union all{% endif %}
{% endfor -%}
