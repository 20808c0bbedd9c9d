with crm_contacts as (
    select * from {{ ref('stg_crm__contacts') }}
),

crm_companies as (
    select * from {{ ref('stg_crm__companies') }}
),

billing_customers as (
    select * from {{ ref('stg_billing__customers') }}
),

product_users as (
    select * from {{ ref('stg_product__users') }}
),

support_requesters as (
    select * from {{ ref('stg_support__requesters') }}
),

crm as (
    select
        'crm' as source_system,
        'contacts' as source_object,
        crm_contacts.contact_id as record_id,
        crm_contacts.first_name,
        crm_contacts.last_name,
        crm_contacts.email,
        crm_contacts.phone,
        crm_contacts.job_title,
        crm_contacts.linkedin_url,
        crm_contacts.city,
        crm_contacts.country,
        coalesce(crm_contacts.company_name, crm_companies.company_name) as company_name,
        crm_companies.domain as company_domain,
        crm_contacts.lifecycle_stage,
        crm_contacts.created_at,
        crm_contacts.updated_at
    from crm_contacts
    left join crm_companies on crm_contacts.crm_company_id = crm_companies.crm_company_id
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
    from billing_customers
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
    from product_users
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
    from support_requesters
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

final as (
    select
        source_system || ':' || source_object || ':' || record_id as record_key,
        *
    from unioned
)

select * from final
