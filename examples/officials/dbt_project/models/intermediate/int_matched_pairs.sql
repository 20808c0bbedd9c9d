with pairs as (

    select
        *,
        same_last_name and same_first_name as same_name
    from {{ ref('int_candidate_pairs') }}

),

ruled as (

    select
        record_a,
        record_b,
        case
            when same_name and list_contains(same_keys, 'birth_date') then 'name_and_birth_date'
            when same_name and not birth_dates_differ and list_contains(same_keys, 'seat') then 'name_and_seat'
            when same_name and len(same_keys) >= 2 then 'name_and_two_keys'
            when same_last_name and not birth_dates_differ and len(same_keys) >= 2 then 'last_name_and_two_keys'
        end as rule
    from pairs

)

select * from ruled
where rule is not null
