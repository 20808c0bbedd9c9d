-- Per record and field at most one value leads and at most one is given, and what is given leads.
select
    entity,
    key,
    field
from {{ ref('enrichment_provenance') }}
group by entity, key, field
having
    sum(case when place = 1 then 1 else 0 end) > 1
    or sum(case when reason = 'won' then 1 else 0 end) > 1
    or sum(case when reason = 'won' and (place is null or place > 1) then 1 else 0 end) > 0
