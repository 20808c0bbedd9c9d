with companies as (
    select
        'crm:companies:' || crm_company_id as record_key,
        'crm' as source_system,
        'companies' as source_object,
        crm_company_id as record_id,
        domain,
        company_name
    from {{ ref('stg_crm__companies') }}
),

-- A contact's own address says more about where it works than the account it hangs on.
contacts as (
    select
        record_key,
        source_system,
        source_object,
        record_id,
        case when email_domain is not null and not is_free_domain then email_domain else company_domain end as domain,
        company_name
    from {{ ref('int_contact_records') }}
),

mentions as (
    select * from companies
    union all
    select * from contacts
),

worded as (
    select
        m.*,
        {{ company_words('m.company_name') }} as words
    from mentions as m
),

parted as (
    select
        w.*,
        {{ regex_replace('w.words', '^.* ', '') }} as last_word
    from worded as w
)

select
    p.record_key,
    p.source_system,
    p.source_object,
    p.record_id,
    p.domain,
    p.company_name,
    case
        when s.suffix is not null and p.words <> p.last_word
            then substr(p.words, 1, length(p.words) - length(p.last_word) - 1)
        else p.words
    end as company_words
from parted as p
left join {{ ref('company_suffixes') }} as s on p.last_word = s.suffix
where p.domain is not null or p.words is not null
