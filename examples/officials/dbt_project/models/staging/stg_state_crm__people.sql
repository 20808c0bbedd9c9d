with source as (

    select * from {{ source('officials', 'state_crm') }}

),

states as (

    select * from {{ ref('states') }}

),

people as (

    select
        source.*,
        -- In Congress a district is `CA-42`, a Senate seat a state's name; elsewhere the jurisdiction names the state.
        case
            when source.jurisdiction = 'us' and source.chamber = 'upper' then states.code
            when source.jurisdiction = 'us' then split_part(source.district, '-', 1)
            else upper(regexp_extract(source.jurisdiction, ':(\w+)$', 1))
        end as state,
        case
            when source.jurisdiction = 'us' and source.chamber = 'upper' then null
            when source.jurisdiction = 'us' then split_part(source.district, '-', 2)
            else source.district
        end as seat,
        {{ address_end('source.district_address') }} as district_office,
        {{ address_end('source.capitol_address') }} as capitol_office,
        case when struct_extract(district_office, 'zip') <> '' then district_office else capitol_office end as office
    from source
    left join states on source.jurisdiction = 'us' and source.district = states.name

),

final as (

    select
        id as person_id,
        given_name as first_name,
        family_name as last_name,
        try_cast(birth_date as date) as birth_date,
        {{ email('email') }} as email,
        {{ web_address('email') }} as contact_form,
        party,
        case when jurisdiction = 'us' then 'congress' else jurisdiction end as body,
        chamber,
        state,
        seat as district,
        {{ e164('capitol_phone') }} as capitol_phone,
        {{ e164('district_phone') }} as district_phone,
        {{ web_address('website') }} as website,
        lower(twitter) as twitter,
        nullif(trim(struct_extract(office, 'city')), '') as office_city,
        nullif(struct_extract(office, 'state'), '') as office_state,
        nullif(struct_extract(office, 'zip'), '') as office_zip
    from people

)

select * from final
