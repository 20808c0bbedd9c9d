{{ config(materialized='view') }}

with assignments as (
    select * from {{ ref('golden_id_assignments') }}
),

-- How many members an id gained and lost in a build.
steps as (
    select
        entity,
        golden_id,
        began_build as build,
        began_at as happened_at,
        1 as n_gained,
        0 as n_lost
    from assignments
    union all
    select
        entity,
        golden_id,
        ended_build as build,
        ended_at as happened_at,
        0 as n_gained,
        1 as n_lost
    from assignments
    where ended_build is not null
),

summed as (
    select
        entity,
        golden_id,
        build,
        max(happened_at) as happened_at,
        sum(n_gained) as n_gained,
        sum(n_gained - n_lost) as n_more
    from steps
    group by entity, golden_id, build
),

sizes as (
    select
        *,
        sum(n_more) over (
            partition by entity, golden_id
            order by build asc
            rows between unbounded preceding and current row
        ) as n_after,
        row_number() over (partition by entity, golden_id order by build asc) as nth
    from summed
),

-- Members that went from one id to another.
flows as (
    select
        left_ids.entity,
        left_ids.ended_build as build,
        left_ids.golden_id as from_id,
        found_ids.golden_id as to_id,
        count(*) as n_members
    from assignments as left_ids
    inner join assignments as found_ids
        on
            left_ids.entity = found_ids.entity
            and left_ids.member_key = found_ids.member_key
            and left_ids.ended_build = found_ids.began_build
    group by left_ids.entity, left_ids.ended_build, left_ids.golden_id, found_ids.golden_id
),

ranked_flows as (
    select
        flows.*,
        sizes.n_after as n_left,
        row_number() over (
            partition by flows.entity, flows.build, flows.from_id
            order by flows.n_members desc, flows.to_id asc
        ) as flow_rank
    from flows
    inner join sizes
        on flows.entity = sizes.entity and flows.build = sizes.build and flows.from_id = sizes.golden_id
),

-- An id that is over went where most of its members went.
moves as (
    select
        ranked_flows.entity,
        ranked_flows.build,
        sizes.happened_at,
        case
            when ranked_flows.n_left = 0 and ranked_flows.flow_rank = 1 then 'merged'
            when sizes.n_after = sizes.n_more then 'split'
            else 'moved'
        end as event,
        ranked_flows.from_id,
        ranked_flows.to_id,
        ranked_flows.n_members
    from ranked_flows
    inner join sizes
        on
            ranked_flows.entity = sizes.entity
            and ranked_flows.build = sizes.build
            and ranked_flows.to_id = sizes.golden_id
),

beginnings as (
    select
        sizes.entity,
        sizes.build,
        sizes.happened_at,
        case when sizes.nth = 1 then 'created' else 'returned' end as event,
        cast(null as varchar) as from_id,
        sizes.golden_id as to_id,
        sizes.n_after as n_members
    from sizes
    left join flows
        on sizes.entity = flows.entity and sizes.build = flows.build and sizes.golden_id = flows.to_id
    where sizes.n_after = sizes.n_more and sizes.n_after > 0 and flows.to_id is null
),

endings as (
    select
        sizes.entity,
        sizes.build,
        sizes.happened_at,
        'retired' as event,
        sizes.golden_id as from_id,
        cast(null as varchar) as to_id,
        -sizes.n_more as n_members
    from sizes
    left join flows
        on sizes.entity = flows.entity and sizes.build = flows.build and sizes.golden_id = flows.from_id
    where sizes.n_after = 0 and sizes.n_more < 0 and flows.from_id is null
),

events as (
    select * from moves
    union all
    select * from beginnings
    union all
    select * from endings
),

final as (
    select
        entity,
        cast(build as integer) as build,
        happened_at,
        event,
        from_id,
        to_id,
        cast(n_members as integer) as n_members
    from events
)

select * from final
