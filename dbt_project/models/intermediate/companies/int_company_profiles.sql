with members as (
    select * from {{ ref('int_company_members') }}
),

surviving_values as (
    select * from {{ ref('int_company_survivors') }}
),

companies as (
    select
        company_golden_id as golden_id,
        count(*) as n_records
    from members
    group by company_golden_id
),

survivors as (
    {{ pivot_fields('surviving_values', [
        'name', 'domain', 'industry', 'employee_count', 'founded_year', 'linkedin_url', 'city', 'country'
    ]) }}
),

final as (
    select
        companies.golden_id,
        coalesce(survivors.name, survivors.domain) as name,
        survivors.domain,
        survivors.industry,
        cast(survivors.employee_count as integer) as employee_count,
        cast(survivors.founded_year as integer) as founded_year,
        survivors.linkedin_url,
        survivors.city,
        survivors.country,
        companies.n_records
    from companies
    left join survivors on companies.golden_id = survivors.golden_id
)

select * from final
