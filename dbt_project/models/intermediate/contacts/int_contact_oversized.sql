with components as (
    select * from {{ ref('int_contact_components') }}
),

members as (
    select * from {{ ref('int_contact_members') }}
),

placed as (
    select
        components.component,
        members.golden_id,
        count(*) as n_records
    from components
    inner join members on components.node = members.record_key
    group by components.component, members.golden_id
),

final as (
    select
        component,
        sum(n_records) as n_records,
        count(*) as n_contacts,
        max(n_records) as n_records_of_largest
    from placed
    group by component
    having sum(n_records) > {{ var('max_records_per_person') }}
)

select * from final
