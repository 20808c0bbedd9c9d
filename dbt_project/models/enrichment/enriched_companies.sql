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
    coalesce(lower(w.industry), g.industry) as industry,
    coalesce({{ to_integer('w.employee_count') }}, g.employee_count) as employee_count,
    coalesce({{ to_integer('w.founded_year') }}, g.founded_year) as founded_year,
    coalesce(w.linkedin_url, g.linkedin_url) as linkedin_url,
    coalesce(w.city, g.city) as city,
    coalesce(w.country, g.country) as country,
    g.plan_name,
    g.mrr_usd,
    g.n_contacts,
    g.n_records,
    {{ enriched_details('golden_companies') }}
from golden as g
left join winners as w on g.golden_id = w.golden_id
