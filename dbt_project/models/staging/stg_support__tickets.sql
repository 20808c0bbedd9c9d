with source as (
    select * from {{ source('support', 'tickets') }}
),

renamed as (
    select
        ticket_id,
        requester_id,
        subject,
        lower(status) as ticket_status,
        lower(priority) as priority,
        cast(created_at as timestamp) as opened_at,
        cast(updated_at as timestamp) as updated_at
    from source
)

select * from renamed
