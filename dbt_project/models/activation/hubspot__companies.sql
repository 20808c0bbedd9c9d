with companies as (
    select * from {{ ref('enriched_companies') }}
    where domain is not null
),

industries as (
    select * from {{ ref('hubspot_industries') }}
),

final as (
    select
        companies.golden_id,
        companies.name,
        companies.domain,
        -- HubSpot takes only the internal values of its own list.
        industries.hubspot_industry as industry,
        companies.employee_count as numberofemployees,
        cast(companies.founded_year as varchar) as founded_year,
        companies.linkedin_url as linkedin_company_page,
        companies.city,
        companies.country,
        companies.plan_name,
        companies.mrr_usd
    from companies
    left join industries on companies.industry = industries.industry
)

select * from final
