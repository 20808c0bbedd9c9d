with components as (
    select
        node as record_key,
        component,
        count(*) over (partition by component) as n_records
    from {{ ref('int_contact_components') }}
),

-- Two values that both have are more than one.
edges as (
    select
        least(left_key, right_key) as left_key,
        greatest(left_key, right_key) as right_key,
        sum(weight) as weight
    from {{ ref('int_contact_edges') }}
    group by 1, 2
),

-- Every two records that only others join. Past the limit too many; there what was not compared counts as unlike.
indirect as (
    select
        left_records.record_key as left_key,
        right_records.record_key as right_key,
        left_records.component
    from components as left_records
    inner join components as right_records
        on left_records.component = right_records.component and left_records.record_key < right_records.record_key
    left join edges
        on left_records.record_key = edges.left_key and right_records.record_key = edges.right_key
    where left_records.n_records between 3 and {{ var('max_records_compared') }} and edges.left_key is null
),

decisions as (
    {{ decided_pairs(ref('steward_decisions'), ref('int_contact_records')) }}
),

compared as (
    {{ contact_comparisons('indirect', ref('int_contact_records')) }}
),

judged as (
    select
        compared.left_key,
        compared.right_key,
        compared.component,
        compared.name_level,
        compared.is_apart or decisions.decision is not null as is_apart
    from compared
    left join decisions
        on
            compared.left_key = decisions.left_key
            and compared.right_key = decisions.right_key
            and decisions.decision = 'different'
),

doubtful as (
    select component from judged
    where is_apart
    union
    select component from components
    where n_records > {{ var('max_records_per_person') }}
),

final as (
    select
        components.record_key as left_key,
        components.record_key as right_key,
        cast(0 as integer) as weight,
        components.component
    from components
    inner join doubtful on components.component = doubtful.component

    union all

    select
        edges.left_key,
        edges.right_key,
        edges.weight,
        components.component
    from edges
    inner join components on edges.left_key = components.record_key
    inner join doubtful on components.component = doubtful.component

    union all

    select
        judged.left_key,
        judged.right_key,
        case
            when judged.is_apart then null
            when judged.name_level in ('same', 'close') then 1
            when judged.name_level in ('initial', 'part', 'typo', 'first', 'none') then -1
            else -2
        end as weight,
        judged.component
    from judged
    inner join doubtful on judged.component = doubtful.component
)

select * from final
