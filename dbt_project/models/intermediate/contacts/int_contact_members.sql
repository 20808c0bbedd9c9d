with records as (
    select * from {{ ref('int_contact_records') }}
),

components as (
    select * from {{ ref('int_contact_components') }}
),

clusters as (
    select * from {{ ref('int_contact_clusters') }}
),

-- The id comes from the record that was made first: later records join without moving it.
ranked as (
    select
        records.record_key,
        records.source_system,
        records.source_object,
        records.record_id,
        first_value(records.record_key) over (
            partition by coalesce(clusters.cluster, components.component)
            order by records.created_at asc, records.record_key asc
            rows between unbounded preceding and unbounded following
        ) as first_record_key
    from records
    inner join components on records.record_key = components.node
    left join clusters on records.record_key = clusters.node
),

final as (
    select
        record_key,
        source_system,
        source_object,
        record_id,
        md5('contact|' || first_record_key) as golden_id
    from ranked
)

select * from final
