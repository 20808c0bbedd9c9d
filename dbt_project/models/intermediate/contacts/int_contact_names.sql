with sources as (
    select * from {{ ref('int_contact_sources') }}
),

placeholders as (
    select value from {{ ref('placeholders') }}
    where kind = 'name'
),

nicknames as (
    select * from {{ ref('nicknames') }}
),

-- What only fills a place is no name.
said as (
    select
        sources.record_key,
        case when first_fillers.value is null then sources.first_name end as first_name,
        case when last_fillers.value is null then sources.last_name end as last_name,
        sources.company_name
    from sources
    left join placeholders as first_fillers on lower(sources.first_name) = first_fillers.value
    left join placeholders as last_fillers on lower(sources.last_name) = last_fillers.value
),

keyed as (
    select
        *,
        {{ name_key(without_titles('first_name')) }} as typed_first_key,
        {{ name_key(without_suffix('last_name')) }} as typed_last_key,
        {{ generation('last_name') }} as generation,
        {{ name_key('company_name') }} as company_key
    from said
),

-- The name of its company in the place of a person's is kept, but nobody is compared by it.
personal as (
    select
        *,
        coalesce(coalesce(typed_first_key, '') || coalesce(typed_last_key, '') = company_key, false) as is_company
    from keyed
),

unfolded as (
    select
        keyed.record_key,
        keyed.first_name,
        keyed.last_name,
        keyed.generation,
        case when not keyed.is_company then keyed.typed_first_key end as typed_first_key,
        case
            when not keyed.is_company then coalesce(nicknames.name, {{ without_umlaut_e('keyed.typed_first_key') }})
        end as first_key,
        case when not keyed.is_company then {{ without_umlaut_e('keyed.typed_last_key') }} end as last_key,
        nicknames.nickname is not null as is_nickname
    from personal as keyed
    left join nicknames on keyed.typed_first_key = nicknames.nickname
),

final as (
    select
        *,
        -- A letter of the alphabet stands for many names; one character of Chinese is a whole one.
        coalesce({{ regex_matches('first_key', '[a-z]') }}, false) as is_initial,
        case
            when last_key is not null and not {{ regex_matches('first_key', '[a-z]') }} then first_key || last_key
        end as full_key
    from unfolded
)

select * from final
