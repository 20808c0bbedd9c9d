with mentions as (
    select * from {{ ref('int_company_mentions') }}
),

counted as (
    select
        company_words,
        domain,
        count(*) as n_mentions
    from mentions
    where domain is not null and company_words is not null
    group by company_words, domain
),

-- The domain that most records give beside a name. People who moved bring in a few others.
ranked as (
    select
        company_words,
        domain,
        row_number() over (partition by company_words order by n_mentions desc, domain asc) as domain_rank
    from counted
),

resolved as (
    select
        m.record_key,
        m.source_system,
        m.source_object,
        m.record_id,
        m.company_name,
        m.company_words,
        coalesce(m.domain, r.domain) as domain
    from mentions as m
    left join ranked as r on m.company_words = r.company_words and r.domain_rank = 1
)

select
    record_key,
    source_system,
    source_object,
    record_id,
    company_name,
    domain,
    coalesce('domain:' || domain, 'name:' || company_words) as company_key,
    md5('company|' || coalesce('domain:' || domain, 'name:' || company_words)) as company_golden_id
from resolved
