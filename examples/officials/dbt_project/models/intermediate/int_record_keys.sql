with records as (

    select * from {{ ref('int_records') }}

),

keys as (

    select
        record_id,
        system,
        'phone' as kind,
        unnest(list_distinct(phones)) as value
    from records
    union all
    select
        record_id,
        system,
        'email',
        email
    from records
    union all
    select
        record_id,
        system,
        'twitter',
        twitter
    from records
    union all
    select
        record_id,
        system,
        'website',
        {{ host('website') }}
    from records
    union all
    select
        record_id,
        system,
        'birth_date',
        birth_date::varchar
    from records
    union all
    select
        record_id,
        system,
        'seat',
        concat_ws('/', body, chamber, state, district)
    from records

),

limits as (

    select * from {{ ref('key_limits') }}

),

counted as (

    select
        *,
        count(*) over (partition by kind, value, system) as n_system_records
    from keys
    where value is not null

)

select
    record_id,
    kind,
    value,
    -- One crowded system spoils the key for all: a switchboard is no more telling from the other side.
    max(n_system_records) over (partition by kind, value) <= limits.max_records as is_telling
from counted
inner join limits using (kind)
