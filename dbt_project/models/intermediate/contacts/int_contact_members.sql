with records as (
    select * from {{ ref('int_contact_records') }}
),

assignments as (
    select
        member_key,
        golden_id
    from {{ ref('golden_id_assignments') }}
    where entity = 'contact' and ended_build is null
),

final as (
    select
        records.record_key,
        records.source_system,
        records.source_object,
        records.record_id,
        assignments.golden_id
    from records
    inner join assignments on records.record_key = assignments.member_key
)

select * from final
