with source as (
    select * from {{ source('product', 'users') }}
),

renamed as (
    select
        user_id,
        {{ first_name_of('display_name') }} as first_name,
        {{ last_name_of('display_name') }} as last_name,
        {{ normalise_email('email') }} as email,
        {{ clean_text('workspace_name') }} as company_name,
        cast(created_at as timestamp) as created_at,
        cast(updated_at as timestamp) as updated_at
    from source
)

select * from renamed
