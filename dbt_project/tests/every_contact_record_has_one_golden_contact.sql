-- Nothing is lost or doubled between the sources and the golden records: the counts agree, record by record.
select
    r.record_key,
    count(m.golden_id) as n_golden,
    count(g.golden_id) as n_found
from {{ ref('int_contact_records') }} as r
left join {{ ref('golden_members') }} as m on r.record_key = m.record_key and m.entity = 'contact'
left join {{ ref('golden_contacts') }} as g on m.golden_id = g.golden_id
group by r.record_key
having count(m.golden_id) <> 1 or count(g.golden_id) <> 1
