with crm_companies as (
    select * from {{ ref('stg_crm__companies') }}
),

contact_records as (
    select * from {{ ref('int_contact_records') }}
),

company_suffixes as (
    select * from {{ ref('company_suffixes') }}
),

placeholders as (
    select value from {{ ref('placeholders') }}
    where kind = 'company'
),

mentions as (
    select
        'crm:companies:' || crm_company_id as record_key,
        'crm' as source_system,
        'companies' as source_object,
        crm_company_id as record_id,
        domain,
        company_name
    from crm_companies
    union all
    select
        record_key,
        source_system,
        source_object,
        record_id,
        -- A contact's own address says more about where it works than the account it hangs on.
        case when email_domain is not null and not is_free_domain then email_domain else company_domain end as domain,
        company_name
    from contact_records
),

-- What only fills a place names no company.
named as (
    select
        mentions.record_key,
        mentions.source_system,
        mentions.source_object,
        mentions.record_id,
        mentions.domain,
        case when placeholders.value is null then mentions.company_name end as company_name
    from mentions
    left join placeholders on lower(mentions.company_name) = placeholders.value
),

folded as (
    select
        *,
        {{ fold_letters('company_name') }} as letters
    from named
),

words_0 as (
    select
        *,
        {{ company_words('letters') }} as words
    from folded
),

{# "Mill GmbH & Co. KG" ends in three words that are taken off. #}
{% for n in range(1, 5) -%}
words_{{ n }} as (
    select
        worded.record_key,
        worded.source_system,
        worded.source_object,
        worded.record_id,
        worded.domain,
        worded.company_name,
        case
            when company_suffixes.suffix is not null
                then substr(worded.words, 1, length(worded.words) - length(company_suffixes.suffix) - 1)
            else worded.words
        end as words
    from words_{{ n - 1 }} as worded
    left join company_suffixes
        on
            {{ regex_replace('worded.words', '^.* ', '') }} = company_suffixes.suffix
            and worded.words <> company_suffixes.suffix
),

{% endfor -%}
final as (
    select
        record_key,
        source_system,
        source_object,
        record_id,
        domain,
        company_name,
        words as company_words
    from words_4
    where domain is not null or words is not null
)

select * from final
