-- Each system holds a person once: a golden record with two records of one system joined two people.
select
    golden_id,
    system,
    count(*) as n_records
from {{ ref('golden_members') }}
group by golden_id, system
having count(*) > 1
