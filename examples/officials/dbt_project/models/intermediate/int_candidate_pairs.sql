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
        a.record_id as record_a,
        b.record_id as record_b,
        list(distinct a.kind order by a.kind) as same_keys
    from keys as a
    inner join keys as b on a.kind = b.kind and a.value = b.value and a.record_id < b.record_id
    group by a.record_id, b.record_id

)

select
    pairs.record_a,
    pairs.record_b,
    pairs.same_keys,
    -- One family name may be a part of the other: `Kamlager` and `Kamlager-Dove`.
    contains(' ' || a.last_name || ' ', ' ' || b.last_name || ' ')
    or contains(' ' || b.last_name || ' ', ' ' || a.last_name || ' ') as same_last_name,
    list_has_any(a.first_names, b.first_names) as same_first_name,
    coalesce(record_a.birth_date <> record_b.birth_date, false) as birth_dates_differ
from pairs
inner join names as a on pairs.record_a = a.record_id
inner join names as b on pairs.record_b = b.record_id
inner join records as record_a on pairs.record_a = record_a.record_id
inner join records as record_b on pairs.record_b = record_b.record_id
