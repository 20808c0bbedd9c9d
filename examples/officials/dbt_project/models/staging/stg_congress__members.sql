with source as (

    select * from {{ source('officials', 'congress_registry') }}

),

final as (

    select
        bioguide_id,
        -- A name in brackets is what the member is called: `Nicole (Nikki)`.
        trim(regexp_replace(first, '\s*\(.*\)', '')) as first_name,
        nullif(concat_ws(' ', middle, nickname, nullif(regexp_extract(first, '\((.*)\)', 1), '')), '') as other_names,
        last as last_name,
        try_cast(birthday as date) as birth_date,
        {{ web_address('contact_form') }} as contact_form,
        party,
        case type when 'sen' then 'upper' else 'lower' end as chamber,
        state,
        case when type = 'sen' then null when district = '0' then 'AL' else district end as district,
        {{ e164('phone') }} as phone,
        {{ web_address('url') }} as website,
        lower(twitter) as twitter
    from source

)

select * from final
