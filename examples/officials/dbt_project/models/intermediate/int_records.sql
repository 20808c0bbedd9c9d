with people as (

    select * from {{ ref('stg_state_crm__people') }}

),

members as (

    select * from {{ ref('stg_congress__members') }}

),

offices as (

    select * from {{ ref('stg_congress__offices') }}

),

-- The office in the member's own state that comes first: one address, taken whole.
ranked_offices as (

    select
        offices.*,
        row_number() over (
            partition by offices.bioguide_id
            order by offices.state <> members.state, offices.office_id
        ) as office_rank
    from offices
    inner join members on offices.bioguide_id = members.bioguide_id
    where offices.zip is not null

),

first_offices as (

    select *
    from ranked_offices
    where office_rank = 1

),

office_phones as (

    select
        bioguide_id,
        list(distinct phone order by phone) as phones
    from offices
    where phone is not null
    group by bioguide_id

),

unioned as (

    select
        'state_crm' as system,
        person_id as system_id,
        first_name,
        null as other_names,
        last_name,
        birth_date,
        email,
        contact_form,
        party,
        body,
        chamber,
        state,
        district,
        coalesce(capitol_phone, district_phone) as phone,
        [capitol_phone, district_phone] as phones,
        website,
        twitter,
        office_city,
        office_state,
        office_zip
    from people
    union all
    select
        'congress_registry' as system,
        members.bioguide_id as system_id,
        members.first_name,
        members.other_names,
        members.last_name,
        members.birth_date,
        null as email,
        members.contact_form,
        members.party,
        'congress' as body,
        members.chamber,
        members.state,
        members.district,
        members.phone,
        list_append(coalesce(office_phones.phones, []), members.phone) as phones,
        members.website,
        members.twitter,
        first_offices.city as office_city,
        first_offices.state as office_state,
        first_offices.zip as office_zip
    from members
    left join first_offices on members.bioguide_id = first_offices.bioguide_id
    left join office_phones on members.bioguide_id = office_phones.bioguide_id

),

final as (

    select
        system || ':' || system_id as record_id,
        *,
        case
            when body = 'congress' and chamber = 'upper' then 'U.S. Senator'
            when body = 'congress' then 'Member of the U.S. House'
            when body = 'us/district:dc' then 'Council Member'
            when chamber = 'upper' then 'State Senator'
            when chamber = 'lower' then 'State Representative'
            else 'State Legislator'
        end as job_title
    from unioned

)

select * from final
