with source as (
    select * from {{ source('product', 'usage') }}
),

renamed as (
    select
        user_id,
        cast(day as date) as usage_date,
        cast(events as integer) as n_events,
        cast(last_event_at as timestamp) as last_event_at
    from source
)

select * from renamed
