with profiles as (
    select * from {{ ref('int_company_profiles') }}
),

contacts as (
    select * from {{ ref('golden_contacts') }}
    where company_golden_id is not null
),

ranked_plans as (
    select
        company_golden_id,
        plan_name,
        mrr_usd,
        row_number() over (
            partition by company_golden_id
            order by case when plan_name is null then 1 else 0 end asc, mrr_usd desc, golden_id asc
        ) as plan_rank
    from contacts
),

totals as (
    select
        company_golden_id,
        max(case when plan_rank = 1 then plan_name end) as plan_name,
        sum(mrr_usd) as mrr_usd,
        count(*) as n_contacts
    from ranked_plans
    group by company_golden_id
),

final as (
    select
        profiles.golden_id,
        profiles.name,
        profiles.domain,
        profiles.industry,
        profiles.employee_count,
        profiles.founded_year,
        profiles.linkedin_url,
        profiles.city,
        profiles.country,
        -- No source has these; providers fill them.
        {%- for field, data_type in own_fields('golden_companies').items() %}
        cast(null as {{ data_type }}) as {{ field }},
        {%- endfor %}
        totals.plan_name,
        cast(totals.mrr_usd as numeric(18, 2)) as mrr_usd,
        cast(coalesce(totals.n_contacts, 0) as integer) as n_contacts,
        cast(profiles.n_records as integer) as n_records
    from profiles
    left join totals on profiles.golden_id = totals.company_golden_id
)

select * from final
