with contact_members as (
    select * from {{ ref('int_contact_members') }}
),

company_members as (
    select * from {{ ref('int_company_members') }}
),

final as (
    select
        'contact' as entity,
        source_system,
        source_object,
        record_id,
        record_key,
        golden_id
    from contact_members
    union all
    select
        'company' as entity,
        source_system,
        source_object,
        record_id,
        record_key,
        company_golden_id as golden_id
    from company_members
)

select * from final
