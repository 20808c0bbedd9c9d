with golden as (
    select * from {{ ref('golden_contacts') }}
),

winners as (
    select * from {{ ref('contact_enrichment') }}
),

-- A bought address is used only where its verifier said yes, or where nobody verifies.
usable as (
    select
        w.*,
        case when coalesce(w.email_verification, 'valid') = 'valid' then w.email end as usable_email
    from winners as w
)

select
    g.golden_id,
    g.company_golden_id,
    g.first_name,
    g.last_name,
    g.full_name,
    coalesce(g.email, w.usable_email) as email,
    coalesce(g.phone, w.phone) as phone,
    coalesce(g.job_title, w.job_title) as job_title,
    coalesce(g.seniority, w.seniority) as seniority,
    coalesce(g.linkedin_url, w.linkedin_url) as linkedin_url,
    -- A place is one thing: a bought city never stands beside a golden country of another record.
    case when g.city is null and (g.country is null or g.country = w.country) then w.city else g.city end as city,
    case when g.country is null and (g.city is null or g.city = w.city) then w.country else g.country end as country,
    g.company_name,
    g.company_domain,
    g.lifecycle_stage,
    g.plan_name,
    g.mrr_usd,
    g.last_seen_at,
    g.open_tickets,
    g.n_records,
    case when g.email is not null then 'golden' when w.usable_email is not null then w.email_source end as email_source
from golden as g
left join usable as w on g.golden_id = w.golden_id
