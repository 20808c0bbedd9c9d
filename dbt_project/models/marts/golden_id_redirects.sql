{{ config(materialized='view') }}

with recursive assignments as (
    select * from {{ ref('golden_id_assignments') }}
),

history as (
    select * from {{ ref('golden_id_history') }}
),

ids as (
    select
        entity,
        golden_id,
        max(case when ended_build is null then 1 else 0 end) as n_open
    from assignments
    group by entity, golden_id
),

over_ids as (
    select
        entity,
        golden_id
    from ids
    where n_open = 0
),

endings as (
    select
        history.entity,
        history.from_id,
        history.to_id,
        history.happened_at,
        row_number() over (partition by history.entity, history.from_id order by history.build desc) as nth_last
    from history
    inner join over_ids on history.entity = over_ids.entity and history.from_id = over_ids.golden_id
    where history.event in ('merged', 'retired')
),

last_endings as (
    select
        entity,
        from_id,
        to_id,
        happened_at
    from endings
    where nth_last = 1
),

-- What it was merged into may be over too. An id always ends after those that were merged into it, so this ends.
followed as (
    select
        entity,
        from_id as golden_id,
        to_id as current_golden_id,
        happened_at as ended_at
    from last_endings
    union all
    select
        followed.entity,
        followed.golden_id,
        last_endings.to_id as current_golden_id,
        followed.ended_at
    from followed
    inner join last_endings
        on followed.entity = last_endings.entity and followed.current_golden_id = last_endings.from_id
),

final as (
    select
        followed.entity,
        followed.golden_id,
        followed.current_golden_id,
        followed.ended_at
    from followed
    left join last_endings
        on followed.entity = last_endings.entity and followed.current_golden_id = last_endings.from_id
    where last_endings.from_id is null
)

select * from final
