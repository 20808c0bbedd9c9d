-- A warning, since it stops nothing: what joins so many is a shared value that no rule knows, or one busy person.
{{ config(severity='warn') }}

select
    component,
    n_records,
    n_contacts,
    n_records_of_largest
from {{ ref('int_contact_oversized') }}
