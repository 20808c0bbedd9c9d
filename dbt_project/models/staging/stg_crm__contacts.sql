with source as (
    select * from {{ source('crm', 'contacts') }}
),

renamed as (
    select
        contact_id,
        company_id as crm_company_id,
        {{ clean_text('first_name') }} as first_name,
        {{ clean_text('last_name') }} as last_name,
        {{ normalise_email('email') }} as email,
        {{ clean_text('phone') }} as phone,
        {{ clean_text('job_title') }} as job_title,
        {{ clean_text('linkedin_url') }} as linkedin_url,
        {{ clean_text('city') }} as city,
        {{ clean_text('country') }} as country,
        {{ clean_text('company_name') }} as company_name,
        lower({{ clean_text('lifecycle_stage') }}) as lifecycle_stage,
        cast(created_at as timestamp) as created_at,
        cast(updated_at as timestamp) as updated_at
    from source
)

select * from renamed
