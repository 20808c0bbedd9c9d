with facts as (
    select * from {{ ref('int_contact_facts') }}
),

surviving_values as (
    select * from {{ ref('int_contact_survivors') }}
),

companies as (
    select * from {{ ref('int_company_profiles') }}
),

survivors as (
    {{ pivot_fields('surviving_values', [
        'first_name', 'last_name', 'email', 'phone', 'job_title', 'linkedin_url', 'city', 'country', 'lifecycle_stage',
        'company_golden_id'
    ]) }}
),

final as (
    select
        facts.golden_id,
        survivors.company_golden_id,
        survivors.first_name,
        survivors.last_name,
        nullif(
            trim(coalesce(survivors.first_name, '') || ' ' || coalesce(survivors.last_name, '')), ''
        ) as full_name,
        survivors.email,
        survivors.phone,
        survivors.job_title,
        -- No source has it; enrichment fills it.
        cast(null as varchar) as seniority,
        survivors.linkedin_url,
        survivors.city,
        survivors.country,
        -- No source has these either.
        {%- for field, data_type in own_fields('golden_contacts').items() %}
        cast(null as {{ data_type }}) as {{ field }},
        {%- endfor %}
        companies.name as company_name,
        companies.domain as company_domain,
        case
            when facts.plan_name is not null then 'customer'
            else coalesce(survivors.lifecycle_stage, 'lead')
        end as lifecycle_stage,
        facts.plan_name,
        cast(facts.mrr_usd as numeric(18, 2)) as mrr_usd,
        facts.last_seen_at,
        cast(facts.open_tickets as integer) as open_tickets,
        cast(facts.n_records as integer) as n_records
    from facts
    left join survivors on facts.golden_id = survivors.golden_id
    left join companies on survivors.company_golden_id = companies.golden_id
)

select * from final
