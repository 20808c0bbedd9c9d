{{ config(materialized='linkage') }}

with doubts as (
    select * from {{ ref('int_contact_doubts') }}
)

select
    left_key,
    right_key,
    weight
from doubts
