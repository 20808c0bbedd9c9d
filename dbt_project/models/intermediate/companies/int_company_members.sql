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
        mentions.record_key,
        mentions.source_system,
        mentions.source_object,
        mentions.record_id,
        mentions.company_name,
        mentions.company_words,
        coalesce(mentions.domain, ranked.domain) as domain
    from mentions
    left join ranked on mentions.company_words = ranked.company_words and ranked.domain_rank = 1
),

keyed as (
    select
        *,
        coalesce('domain:' || domain, 'name:' || company_words) as company_key
    from resolved
),

final as (
    select
        record_key,
        source_system,
        source_object,
        record_id,
        company_name,
        domain,
        company_key,
        md5('company|' || company_key) as company_golden_id
    from keyed
)

select * from final
