with crm_companies as (
    select * from {{ ref('stg_crm__companies') }}
),

contact_records as (
    select * from {{ ref('int_contact_records') }}
),

company_suffixes as (
    select * from {{ ref('company_suffixes') }}
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

worded as (
    select
        *,
        {{ company_words('company_name') }} as words
    from mentions
),

split_words as (
    select
        *,
        {{ regex_replace('words', '^.* ', '') }} as last_word
    from worded
),

final as (
    select
        split_words.record_key,
        split_words.source_system,
        split_words.source_object,
        split_words.record_id,
        split_words.domain,
        split_words.company_name,
        case
            when company_suffixes.suffix is not null and split_words.words <> split_words.last_word
                then substr(split_words.words, 1, length(split_words.words) - length(split_words.last_word) - 1)
            else split_words.words
        end as company_words
    from split_words
    left join company_suffixes on split_words.last_word = company_suffixes.suffix
    where split_words.domain is not null or split_words.words is not null
)

select * from final
