with winners as (

    select * from {{ ref('golden_provenance') }}
    where is_winner

),

clusters as (

    select
        golden_id,
        count(*) as n_records
    from {{ ref('int_clusters') }}
    group by golden_id

),

people as (

    pivot winners
    on field in (
        first_name, last_name, email, contact_form, phone, birth_date, party, job_title, state, district, website,
        twitter, office_city, office_state, office_zip
    )
    using any_value(value)
    group by golden_id

),

final as (

    select
        people.golden_id,
        people.first_name,
        people.last_name,
        people.email,
        people.contact_form,
        people.phone,
        people.birth_date::date as birth_date,
        people.party,
        people.job_title,
        people.state,
        people.district,
        people.website,
        people.twitter,
        people.office_city,
        people.office_state,
        people.office_zip,
        clusters.n_records
    from people
    inner join clusters on people.golden_id = clusters.golden_id

)

select * from final
