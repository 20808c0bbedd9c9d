{{ config(materialized='connected_components') }}

select
    left_key,
    right_key
from {{ ref('int_contact_edges') }}
union all
-- A record that matches nobody is a component of its own.
select
    record_key as left_key,
    record_key as right_key
from {{ ref('int_contact_records') }}
