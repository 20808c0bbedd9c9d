with clusters as (

    select * from {{ ref('int_clusters') }}

),

records as (

    select * from {{ ref('int_records') }}

),

rules as (

    select
        record_a as record_id,
        rule
    from {{ ref('int_matched_pairs') }}
    union all
    select
        record_b,
        rule
    from {{ ref('int_matched_pairs') }}

),

final as (

    select
        records.record_id,
        records.system,
        records.system_id,
        clusters.golden_id,
        min(rules.rule) as rule
    from records
    inner join clusters on records.record_id = clusters.record_id
    left join rules on records.record_id = rules.record_id
    group by all

)

select * from final
