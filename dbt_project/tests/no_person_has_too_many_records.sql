-- A warning, since it stops nothing: a golden contact this large is a shared value that no rule knows, or one busy person.
{{ config(severity='warn') }}

select * from {{ ref('int_contact_oversized') }}
