with members as (
    select * from {{ ref('int_company_members') }}
),

accounts as (
    select
        m.company_golden_id as golden_id,
        m.record_key,
        a.*
    from members as m
    inner join {{ ref('stg_crm__companies') }} as a
        on m.record_id = a.crm_company_id and m.source_object = 'companies'
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

prioritised as (
    {% set fields = ['industry', 'employee_count', 'founded_year', 'linkedin_url', 'city', 'country', 'domain'] -%}
    {% for field in fields -%}
    select
        golden_id,
        '{{ field }}' as field,
        cast({{ field }} as varchar) as value,
        record_key,
        updated_at,
        {% if field == 'city' -%}
        case when country is null then 1 else 0 end as priority
        {%- elif field == 'country' -%}
        case when city is null then 1 else 0 end as priority
        {%- else -%}
        0 as priority
        {%- endif %}
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
        1000000000 - n_records as priority
    from typed_names
    union all
    select
        company_golden_id as golden_id,
        'domain' as field,
        domain as value,
        record_key,
        cast(null as timestamp) as updated_at,
        1 as priority
    from members
    where domain is not null
),

{{ survivors('prioritised') }}
