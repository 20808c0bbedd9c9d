with recursive records as (

    select record_id from {{ ref('int_records') }}

),

edges as (

    select
        record_a as record_from,
        record_b as record_to
    from {{ ref('int_matched_pairs') }}
    union all
    select
        record_b,
        record_a
    from {{ ref('int_matched_pairs') }}

),

-- Every record that can be reached. A cluster is a handful of records, so that all ways through it are few.
reached as (

    select
        record_id,
        record_id as reached_id
    from records
    union
    select
        reached.record_id,
        edges.record_to
    from reached
    inner join edges on reached.reached_id = edges.record_from

),

final as (

    select
        record_id,
        -- The record that sorts last is the CRM's own, so that a person keeps the id when the registry learns of them.
        'person_' || left(md5(max(reached_id)), 16) as golden_id
    from reached
    group by record_id

)

select * from final
