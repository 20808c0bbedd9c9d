with companies as (
    select
        company_golden_id as golden_id,
        count(*) as n_records
    from {{ ref('int_company_members') }}
    group by company_golden_id
),

survivors as (
    {{ pivot_survivors(ref('int_company_survivors'), [
        'name', 'domain', 'industry', 'employee_count', 'founded_year', 'linkedin_url', 'city', 'country'
    ]) }}
)

select
    c.golden_id,
    coalesce(s.name, s.domain) as name,
    s.domain,
    s.industry,
    cast(s.employee_count as integer) as employee_count,
    cast(s.founded_year as integer) as founded_year,
    s.linkedin_url,
    s.city,
    s.country,
    c.n_records
from companies as c
left join survivors as s on c.golden_id = s.golden_id
