{{ config(materialized='view') }}

with company_keys as (
    select * from {{ ref('int_company_keys') }}
),

-- A company's key is one of its members.
assignments as (
    select
        member_key,
        golden_id
    from {{ ref('golden_id_assignments') }}
    where entity = 'company' and ended_build is null
),

final as (
    select
        company_keys.record_key,
        company_keys.source_system,
        company_keys.source_object,
        company_keys.record_id,
        company_keys.company_name,
        company_keys.domain,
        company_keys.company_key,
        assignments.golden_id as company_golden_id
    from company_keys
    inner join assignments on company_keys.company_key = assignments.member_key
)

select * from final
