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

ranked as (
    select
        company_words,
        domain,
        n_mentions,
        row_number() over (partition by company_words order by n_mentions desc, domain asc) as domain_rank,
        sum(n_mentions) over (partition by company_words) as n_mentions_of_all
    from counted
),

-- The domain that most records give beside a name; people who moved bring in a few others. A name beside several
-- domains of like weight is that of several companies, and tells which one of nobody.
usual_domains as (
    select
        company_words,
        domain
    from ranked
    where domain_rank = 1 and 2 * n_mentions > n_mentions_of_all
),

resolved as (
    select
        mentions.record_key,
        mentions.source_system,
        mentions.source_object,
        mentions.record_id,
        mentions.company_name,
        mentions.company_words,
        coalesce(mentions.domain, usual_domains.domain) as domain
    from mentions
    left join usual_domains on mentions.company_words = usual_domains.company_words
),

final as (
    select
        record_key,
        source_system,
        source_object,
        record_id,
        company_name,
        company_words,
        domain,
        coalesce('domain:' || domain, 'name:' || company_words) as company_key
    from resolved
)

select * from final
