with golden as (
    select * from {{ ref('golden_contacts') }}
),

winners as (
    select * from {{ ref('contact_enrichment') }}
)

select
    g.golden_id,
    g.company_golden_id,
    g.first_name,
    g.last_name,
    g.full_name,
    coalesce(w.email, g.email) as email,
    coalesce(w.phone, g.phone) as phone,
    coalesce(w.job_title, g.job_title) as job_title,
    coalesce(w.seniority, g.seniority) as seniority,
    coalesce(w.linkedin_url, g.linkedin_url) as linkedin_url,
    coalesce(w.city, g.city) as city,
    coalesce(w.country, g.country) as country,
    g.company_name,
    g.company_domain,
    g.lifecycle_stage,
    g.plan_name,
    g.mrr_usd,
    g.last_seen_at,
    g.open_tickets,
    g.n_records,
    {{ enriched_details('golden_contacts') }}
from golden as g
left join winners as w on g.golden_id = w.golden_id
