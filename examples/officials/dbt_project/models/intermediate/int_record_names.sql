with records as (

    select * from {{ ref('int_records') }}

),

nicknames as (

    select
        nickname,
        list(name) as long_forms
    from {{ ref('nicknames') }}
    group by nickname

),

-- Every name that the person may be called by: `J.` and `Luis` of `J. Luis`, and what is written without blanks.
given as (

    select
        record_id,
        unnest(string_split({{ words("concat_ws(' ', first_name, other_names)") }}, ' ')) as name
    from records
    union
    select
        record_id,
        replace({{ words('first_name') }}, ' ', '') as name
    from records

),

keys as (

    select
        given.record_id,
        list_sort(
            list_distinct(flatten(list(list_append(coalesce(nicknames.long_forms, []), given.name))))
        ) as first_names
    from given
    left join nicknames on given.name = nicknames.nickname
    -- An initial is nobody's name: it agrees with too many.
    where length(given.name) > 1
    group by given.record_id

),

final as (

    select
        records.record_id,
        {{ words('records.last_name') }} as last_name,
        coalesce(keys.first_names, []) as first_names
    from records
    left join keys on records.record_id = keys.record_id

)

select * from final
