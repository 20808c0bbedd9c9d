with members as (
    select * from {{ ref('int_company_members') }}
),

crm_companies as (
    select * from {{ ref('stg_crm__companies') }}
),

accounts as (
    select
        members.company_golden_id as golden_id,
        members.record_key,
        crm_companies.*
    from members
    inner join crm_companies
        on members.record_id = crm_companies.crm_company_id and members.source_object = 'companies'
),

-- Names as contacts type them, for companies that have no account. The most frequent spelling comes first.
typed_names as (
    select
        company_golden_id as golden_id,
        company_name,
        min(record_key) as record_key,
        count(*) as n_records
    from members
    where company_name is not null and source_object <> 'companies'
    group by company_golden_id, company_name
),

-- A city and its country are taken from one account wherever any account has both.
prioritised as (
    {% set penalties = {
        'industry': "0",
        'employee_count': "0",
        'founded_year': "0",
        'linkedin_url': "0",
        'city': "case when country is null then 1 else 0 end",
        'country': "case when city is null then 1 else 0 end",
        'domain': "0",
    } -%}
    {% for field, penalty in penalties.items() -%}
    select
        golden_id,
        '{{ field }}' as field,
        cast({{ field }} as varchar) as value,
        record_key,
        updated_at,
        {{ penalty }} as penalty,
        0 as outvoted,
        0 as priority
    from accounts
    where {{ field }} is not null
    union all
    {% endfor -%}
    select
        golden_id,
        'name' as field,
        company_name as value,
        record_key,
        updated_at,
        0 as penalty,
        0 as outvoted,
        0 as priority
    from accounts
    where company_name is not null
    union all
    select
        golden_id,
        'name' as field,
        company_name as value,
        record_key,
        cast(null as timestamp) as updated_at,
        1 as penalty,
        0 as outvoted,
        1000000000 - n_records as priority
    from typed_names
    union all
    select
        company_golden_id as golden_id,
        'domain' as field,
        domain as value,
        record_key,
        cast(null as timestamp) as updated_at,
        1 as penalty,
        0 as outvoted,
        0 as priority
    from members
    where domain is not null
    union all
    {{ pinned_candidates('company', 'members', 'company_golden_id') }}
),

final as (
    {{ ranked_values('prioritised') }}
)

select * from final
