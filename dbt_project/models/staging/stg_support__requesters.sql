with source as (
    select * from {{ source('support', 'requesters') }}
),

renamed as (
    select
        requester_id,
        {{ first_name_of('name') }} as first_name,
        {{ last_name_of('name') }} as last_name,
        {{ normalise_email('email') }} as email,
        {{ clean_text('phone') }} as phone,
        {{ clean_text('organization') }} as company_name,
        cast(created_at as timestamp) as created_at,
        cast(updated_at as timestamp) as updated_at
    from source
)

select * from renamed
