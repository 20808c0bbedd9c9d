with golden as (
    select * from {{ ref('golden_companies') }}
),

winners as (
    select * from {{ ref('company_enrichment') }}
)

select
    g.golden_id,
    g.name,
    g.domain,
    coalesce(g.industry, lower(w.industry)) as industry,
    coalesce(g.employee_count, {{ to_integer('w.employee_count') }}) as employee_count,
    coalesce(g.founded_year, {{ to_integer('w.founded_year') }}) as founded_year,
    coalesce(g.linkedin_url, w.linkedin_url) as linkedin_url,
    -- A place is one thing: a bought city never stands beside a golden country of another record.
    case when g.city is null and (g.country is null or g.country = w.country) then w.city else g.city end as city,
    case when g.country is null and (g.city is null or g.city = w.city) then w.country else g.country end as country,
    g.plan_name,
    g.mrr_usd,
    g.n_contacts,
    g.n_records
from golden as g
left join winners as w on g.golden_id = w.golden_id
