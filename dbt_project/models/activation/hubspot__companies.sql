with companies as (
    select * from {{ ref('enriched_companies') }}
    where domain is not null
),

industries as (
    select * from {{ ref('hubspot_industries') }}
)

select
    c.golden_id,
    c.name,
    c.domain,
    -- HubSpot takes only the internal values of its own list.
    i.hubspot_industry as industry,
    c.employee_count as numberofemployees,
    cast(c.founded_year as varchar) as founded_year,
    c.linkedin_url as linkedin_company_page,
    c.city,
    c.country,
    c.plan_name,
    c.mrr_usd
from companies as c
left join industries as i on c.industry = i.industry
