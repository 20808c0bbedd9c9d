select
    'contact' as entity,
    source_system,
    source_object,
    record_id,
    record_key,
    golden_id
from {{ ref('int_contact_members') }}
union all
select
    'company' as entity,
    source_system,
    source_object,
    record_id,
    record_key,
    company_golden_id as golden_id
from {{ ref('int_company_members') }}
