with records as (
    select * from {{ ref('int_contact_records') }}
),

components as (
    select * from {{ ref('int_contact_components') }}
),

-- The id comes from the record that was made first: later records join without moving it.
ranked as (
    select
        r.record_key,
        r.source_system,
        r.source_object,
        r.record_id,
        first_value(r.record_key) over (
            partition by c.component
            order by r.created_at asc, r.record_key asc
            rows between unbounded preceding and unbounded following
        ) as first_record_key
    from records as r
    inner join components as c on r.record_key = c.node
)

select
    record_key,
    source_system,
    source_object,
    record_id,
    md5('contact|' || first_record_key) as golden_id
from ranked
