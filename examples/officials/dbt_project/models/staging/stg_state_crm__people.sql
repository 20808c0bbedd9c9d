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
            when jurisdiction = 'us' and chamber = 'upper' then states.code
            when jurisdiction = 'us' then split_part(district, '-', 1)
            else upper(regexp_extract(jurisdiction, ':(\w+)$', 1))
        end as state,
        case
            when jurisdiction = 'us' and chamber = 'upper' then null
            when jurisdiction = 'us' then split_part(district, '-', 2)
            else district
        end as seat,
        {{ address_end('district_address') }} as district_office,
        {{ address_end('capitol_address') }} as capitol_office,
        case when struct_extract(district_office, 'zip') <> '' then district_office else capitol_office end as office
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
