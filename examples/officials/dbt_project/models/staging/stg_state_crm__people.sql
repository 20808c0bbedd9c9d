with source as (

    select * from {{ source('officials', 'state_crm') }}

),

states as (

    select * from {{ ref('states') }}

),

people as (

    select
        source.*,
        -- A district in Congress is `CA-42`, a Senate seat the state's name; elsewhere the state is in the jurisdiction.
        case
            when jurisdiction = 'us' and chamber = 'upper' then states.code
            when jurisdiction = 'us' then split_part(district, '-', 1)
            else upper(regexp_extract(jurisdiction, ':(\w+)$', 1))
        end as state,
        case
            when jurisdiction = 'us' and chamber = 'upper' then null
            when jurisdiction = 'us' then split_part(district, '-', 2)
            else district
        end as seat,
        coalesce(
            regexp_extract(district_address, {{ var('city_state_zip') }}, ['city', 'state', 'zip']).zip, ''
        ) <> '' as has_district_office,
        regexp_extract(
            case when has_district_office then district_address else capitol_address end,
            {{ var('city_state_zip') }},
            ['city', 'state', 'zip']
        ) as office
    from source
    left join states on source.jurisdiction = 'us' and source.district = states.name

)

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
    nullif(trim(office.city), '') as office_city,
    nullif(office.state, '') as office_state,
    nullif(office.zip, '') as office_zip
from people
