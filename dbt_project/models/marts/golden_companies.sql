with profiles as (
    select * from {{ ref('int_company_profiles') }}
),

contacts as (
    select
        company_golden_id,
        plan_name,
        mrr_usd,
        row_number() over (
            partition by company_golden_id
            order by case when plan_name is null then 1 else 0 end asc, mrr_usd desc, golden_id asc
        ) as plan_rank
    from {{ ref('golden_contacts') }}
    where company_golden_id is not null
),

totals as (
    select
        company_golden_id,
        max(case when plan_rank = 1 then plan_name end) as plan_name,
        sum(mrr_usd) as mrr_usd,
        count(*) as n_contacts
    from contacts
    group by company_golden_id
)

select
    p.golden_id,
    p.name,
    p.domain,
    p.industry,
    p.employee_count,
    p.founded_year,
    p.linkedin_url,
    p.city,
    p.country,
    t.plan_name,
    cast(t.mrr_usd as numeric(18, 2)) as mrr_usd,
    cast(coalesce(t.n_contacts, 0) as integer) as n_contacts,
    cast(p.n_records as integer) as n_records
from profiles as p
left join totals as t on p.golden_id = t.company_golden_id
