with source as (
    select * from {{ source('billing', 'subscriptions') }}
),

renamed as (
    select
        subscription_id,
        customer_id,
        {{ clean_text('plan') }} as plan_name,
        lower(status) as subscription_status,
        cast(mrr_cents / 100.0 as numeric(18, 2)) as mrr_usd,
        cast(started_at as timestamp) as started_at,
        cast(updated_at as timestamp) as updated_at
    from source
)

select * from renamed
