with source as (
    select * from {{ source('crm', 'companies') }}
),

renamed as (
    select
        company_id as crm_company_id,
        {{ clean_text('name') }} as company_name,
        {{ normalise_domain('website') }} as domain,
        lower({{ clean_text('industry') }}) as industry,
        {{ to_integer('employees') }} as employee_count,
        cast(founded_year as integer) as founded_year,
        {{ clean_text('linkedin_url') }} as linkedin_url,
        {{ clean_text('city') }} as city,
        {{ clean_text('country') }} as country,
        cast(created_at as timestamp) as created_at,
        cast(updated_at as timestamp) as updated_at
    from source
)

select * from renamed
