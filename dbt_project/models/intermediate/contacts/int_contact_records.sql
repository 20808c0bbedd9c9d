with crm as (
    select
        'crm' as source_system,
        'contacts' as source_object,
        c.contact_id as record_id,
        c.first_name,
        c.last_name,
        c.email,
        c.phone,
        c.job_title,
        c.linkedin_url,
        c.city,
        c.country,
        coalesce(c.company_name, a.company_name) as company_name,
        a.domain as company_domain,
        c.lifecycle_stage,
        c.created_at,
        c.updated_at
    from {{ ref('stg_crm__contacts') }} as c
    left join {{ ref('stg_crm__companies') }} as a on c.crm_company_id = a.crm_company_id
),

billing as (
    select
        'billing' as source_system,
        'customers' as source_object,
        customer_id as record_id,
        first_name,
        last_name,
        email,
        phone,
        cast(null as varchar) as job_title,
        cast(null as varchar) as linkedin_url,
        cast(null as varchar) as city,
        country,
        company_name,
        cast(null as varchar) as company_domain,
        cast(null as varchar) as lifecycle_stage,
        created_at,
        updated_at
    from {{ ref('stg_billing__customers') }}
),

product as (
    select
        'product' as source_system,
        'users' as source_object,
        user_id as record_id,
        first_name,
        last_name,
        email,
        cast(null as varchar) as phone,
        cast(null as varchar) as job_title,
        cast(null as varchar) as linkedin_url,
        cast(null as varchar) as city,
        cast(null as varchar) as country,
        company_name,
        cast(null as varchar) as company_domain,
        cast(null as varchar) as lifecycle_stage,
        created_at,
        updated_at
    from {{ ref('stg_product__users') }}
),

support as (
    select
        'support' as source_system,
        'requesters' as source_object,
        requester_id as record_id,
        first_name,
        last_name,
        email,
        phone,
        cast(null as varchar) as job_title,
        cast(null as varchar) as linkedin_url,
        cast(null as varchar) as city,
        cast(null as varchar) as country,
        company_name,
        cast(null as varchar) as company_domain,
        cast(null as varchar) as lifecycle_stage,
        created_at,
        updated_at
    from {{ ref('stg_support__requesters') }}
),

unioned as (
    select * from crm
    union all
    select * from billing
    union all
    select * from product
    union all
    select * from support
),

keyed as (
    select
        u.*,
        u.source_system || ':' || u.source_object || ':' || u.record_id as record_key,
        {{ name_key('u.first_name') }} as typed_first_key,
        {{ name_key('u.last_name') }} as last_key,
        {{ regex_replace('u.email', '@.*$', '') }} as email_local,
        {{ regex_replace('u.email', '^.*@', '') }} as email_domain
    from unioned as u
),

normalised as (
    select
        k.record_key,
        k.source_system,
        k.source_object,
        k.record_id,
        {{ proper_case('k.first_name') }} as first_name,
        {{ proper_case('k.last_name') }} as last_name,
        k.email,
        k.phone,
        k.job_title,
        k.linkedin_url,
        k.city,
        k.country,
        k.company_name,
        k.company_domain,
        k.lifecycle_stage,
        k.created_at,
        k.updated_at,
        coalesce(n.name, k.typed_first_key) as first_key,
        k.last_key,
        k.email_local,
        k.email_domain,
        n.nickname is not null as is_nickname,
        s.local_part is not null as is_shared_inbox,
        f.domain is not null as is_free_domain
    from keyed as k
    left join {{ ref('nicknames') }} as n on k.typed_first_key = n.nickname
    left join {{ ref('shared_inboxes') }} as s on k.email_local = s.local_part
    left join {{ ref('free_email_domains') }} as f on k.email_domain = f.domain
)

select * from normalised
