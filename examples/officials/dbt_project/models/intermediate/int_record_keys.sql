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
        'email' as kind,
        email as value
    from records
    union all
    select
        record_id,
        system,
        'twitter' as kind,
        twitter as value
    from records
    union all
    select
        record_id,
        system,
        'website' as kind,
        {{ host('website') }} as value
    from records
    union all
    select
        record_id,
        system,
        'birth_date' as kind,
        birth_date::varchar as value
    from records
    union all
    select
        record_id,
        system,
        'seat' as kind,
        concat_ws('/', body, chamber, state, district) as value
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

),

final as (

    select
        counted.record_id,
        counted.kind,
        counted.value,
        -- One crowded system spoils the key for all: a switchboard is no more telling from the other side.
        max(counted.n_system_records) over (
            partition by counted.kind, counted.value
        ) <= limits.max_records as is_telling
    from counted
    inner join limits on counted.kind = limits.kind

)

select * from final
