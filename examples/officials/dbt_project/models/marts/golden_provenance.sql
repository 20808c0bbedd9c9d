with clusters as (

    select * from {{ ref('int_clusters') }}

),

records as (

    select * from {{ ref('int_records') }}

),

trust as (

    select * from {{ ref('trust') }}

),

held as (

    unpivot (
        select
            clusters.golden_id,
            records.record_id,
            records.system,
            records.first_name,
            records.last_name,
            records.email,
            records.contact_form,
            records.phone,
            records.birth_date::varchar as birth_date,
            records.party,
            records.job_title,
            records.state,
            records.district,
            records.website,
            records.twitter,
            records.office_city,
            records.office_state,
            records.office_zip
        from clusters
        inner join records on clusters.record_id = records.record_id
    )
    on columns(* exclude (golden_id, record_id, system))
    into name field value value

),

final as (

    select
        held.golden_id,
        held.field,
        held.value,
        held.system,
        held.record_id,
        row_number() over (
            partition by held.golden_id, held.field order by trust.priority, held.record_id
        ) = 1 as is_winner
    from held
    inner join trust on held.field = trust.field and held.system = trust.system

)

select * from final
