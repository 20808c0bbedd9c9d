with people as (

    select * from {{ ref('golden_contacts') }}

),

final as (

    select
        golden_id,
        golden_id as official_id,
        -- HubSpot takes an address from one contact only; one that two people have is nobody's own.
        case when count(*) over (partition by email) = 1 then email end as email,
        first_name as firstname,
        last_name as lastname,
        job_title as jobtitle,
        phone,
        website,
        twitter as twitterhandle,
        office_city as city,
        office_state as state,
        office_zip as zip,
        party as political_party
    from people

)

select * from final
