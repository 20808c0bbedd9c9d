with companies as (
    select * from {{ ref('enriched_companies') }}
),

final as (
    select
        golden_id,
        golden_id as "ExternalId__c",
        coalesce(name, domain) as "Name",
        'https://' || domain as "Website",
        employee_count as "NumberOfEmployees"
    from companies
    where coalesce(name, domain) is not null
)

select * from final
