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

)

select
    records.record_id,
    records.system,
    records.system_id,
    clusters.golden_id,
    min(rules.rule) as rule
from records
inner join clusters using (record_id)
left join rules using (record_id)
group by all
