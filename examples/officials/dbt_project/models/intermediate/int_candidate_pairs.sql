with keys as (

    select * from {{ ref('int_record_keys') }}
    where is_telling

),

names as (

    select * from {{ ref('int_record_names') }}

),

records as (

    select * from {{ ref('int_records') }}

),

pairs as (

    select
        keys_a.record_id as record_a,
        keys_b.record_id as record_b,
        list(distinct keys_a.kind order by keys_a.kind) as same_keys
    from keys as keys_a
    inner join keys as keys_b
        on
            keys_a.kind = keys_b.kind
            and keys_a.value = keys_b.value
            and keys_a.record_id < keys_b.record_id
    group by keys_a.record_id, keys_b.record_id

),

final as (

    select
        pairs.record_a,
        pairs.record_b,
        pairs.same_keys,
        -- One family name may be a part of the other: `Kamlager` and `Kamlager-Dove`.
        contains(' ' || names_a.last_name || ' ', ' ' || names_b.last_name || ' ')
        or contains(' ' || names_b.last_name || ' ', ' ' || names_a.last_name || ' ') as same_last_name,
        list_has_any(names_a.first_names, names_b.first_names) as same_first_name,
        coalesce(records_a.birth_date <> records_b.birth_date, false) as birth_dates_differ
    from pairs
    inner join names as names_a on pairs.record_a = names_a.record_id
    inner join names as names_b on pairs.record_b = names_b.record_id
    inner join records as records_a on pairs.record_a = records_a.record_id
    inner join records as records_b on pairs.record_b = records_b.record_id

)

select * from final
