{{ config(materialized='connected_components') }}

with edges as (
    select * from {{ ref('int_contact_edges') }}
),

records as (
    select * from {{ ref('int_contact_records') }}
),

final as (
    select
        left_key,
        right_key
    from edges
    union all
    -- A record that matches nobody is a component of its own.
    select
        record_key as left_key,
        record_key as right_key
    from records
)

select * from final
