with source as (

    select * from {{ source('officials', 'district_offices') }}

),

final as (

    select
        office_id,
        bioguide_id,
        city,
        state,
        zip,
        {{ e164('phone') }} as phone
    from source

)

select * from final
