with sources as (
    select
        record_key,
        phone as phone_typed,
        {{ phone_digits('phone') }} as digits,
        {{ name_key('country') }} as country_key
    from {{ ref('int_contact_sources') }}
    where phone is not null
),

keyed_names as (
    select
        {{ name_key('country_name') }} as country_key,
        country_code
    from {{ ref('country_names') }}
),

-- Names with and without accents are one key.
country_names as (
    select
        country_key,
        min(country_code) as country_code
    from keyed_names
    group by country_key
),

calling_codes as (
    select
        country_code,
        calling_code,
        coalesce(trunk_prefix, '') as trunk_prefix,
        min_length,
        max_length
    from {{ ref('calling_codes') }}
),

codes as (
    select
        calling_code,
        min(trunk_prefix) as trunk_prefix
    from calling_codes
    group by calling_code
),

dialled as (
    select
        *,
        {{ calling_code('digits') }} as calling_code
    from sources
    where digits is not null
),

told as (
    select
        dialled.record_key,
        dialled.phone_typed,
        dialled.digits,
        coalesce(dialled.calling_code, home.calling_code) as calling_code,
        case
            when dialled.calling_code is not null
                then {{ national_of_international('dialled.digits', 'dialled.calling_code', 'codes.trunk_prefix') }}
            when home.calling_code is not null then {{ national_of_domestic('dialled.digits', 'home') }}
        end as national_number
    from dialled
    left join codes on dialled.calling_code = codes.calling_code
    left join country_names on dialled.country_key = country_names.country_key
    left join calling_codes as home on country_names.country_code = home.country_code
),

numbered as (
    select
        record_key,
        phone_typed,
        case when national_number is not null then '+' || calling_code || national_number end as phone,
        coalesce(national_number, {{ national_of_unknown('digits') }}) as national_number
    from told
),

final as (
    select
        record_key,
        phone_typed,
        phone,
        national_number
    from numbered
    where
        not {{ is_one_digit('national_number') }}
        -- Short numbers tell nothing where nobody says the country.
        and case when phone is null then length(national_number) >= 7 else length(phone) between 8 and 16 end
)

select * from final
