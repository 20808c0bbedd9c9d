with facts as (
    select * from {{ ref('int_contact_facts') }}
),

survivors as (
    {{ pivot_survivors(ref('int_contact_survivors'), [
        'first_name', 'last_name', 'email', 'phone', 'job_title', 'linkedin_url', 'city', 'country', 'lifecycle_stage',
        'company_golden_id'
    ]) }}
),

companies as (
    select * from {{ ref('int_company_profiles') }}
)

select
    f.golden_id,
    s.company_golden_id,
    s.first_name,
    s.last_name,
    nullif(trim(coalesce(s.first_name, '') || ' ' || coalesce(s.last_name, '')), '') as full_name,
    s.email,
    s.phone,
    s.job_title,
    -- No source knows it; enrichment fills it.
    cast(null as varchar) as seniority,
    s.linkedin_url,
    s.city,
    s.country,
    c.name as company_name,
    c.domain as company_domain,
    case
        when f.plan_name is not null then 'customer'
        else coalesce(s.lifecycle_stage, 'lead')
    end as lifecycle_stage,
    f.plan_name,
    cast(f.mrr_usd as numeric(18, 2)) as mrr_usd,
    f.last_seen_at,
    cast(f.open_tickets as integer) as open_tickets,
    cast(f.n_records as integer) as n_records
from facts as f
left join survivors as s on f.golden_id = s.golden_id
left join companies as c on s.company_golden_id = c.golden_id
