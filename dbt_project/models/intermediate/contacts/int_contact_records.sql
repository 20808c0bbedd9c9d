with sources as (
    select * from {{ ref('int_contact_sources') }}
),

names as (
    select * from {{ ref('int_contact_names') }}
),

phones as (
    select * from {{ ref('int_contact_phones') }}
),

shared_inboxes as (
    select * from {{ ref('shared_inboxes') }}
),

free_email_domains as (
    select * from {{ ref('free_email_domains') }}
),

addressed as (
    select
        sources.record_key,
        sources.email,
        {{ email_key('sources.email') }} as email_key,
        {{ regex_replace('sources.email', '@.*$', '') }} as email_local,
        {{ regex_replace('sources.email', '^.*@', '') }} as email_domain,
        {{ name_key('sources.company_name') }} as typed_company_key,
        names.first_key,
        names.last_key,
        names.is_initial
    from sources
    inner join names on sources.record_key = names.record_key
    where sources.email is not null
),

-- An inbox that no list names shows by its users: more first names and more last names than one person has.
inboxes as (
    select email
    from addressed
    group by email
    having
        count(distinct case when not is_initial then first_key end) > {{ var('max_names_per_email') }}
        and count(distinct last_key) > {{ var('max_names_per_email') }}
),

-- A mail host that no list names shows by its users too: hardly two of them name one company.
mail_hosts as (
    select email_domain
    from addressed
    where typed_company_key is not null
    group by email_domain
    having
        count(distinct typed_company_key) > {{ var('max_companies_per_domain') }}
        and 2 * count(distinct typed_company_key) > count(*)
),

-- A number that people of several names have is a switchboard or a family's.
own_phones as (
    select phones.phone
    from phones
    inner join names on phones.record_key = names.record_key
    where phones.phone is not null
    group by phones.phone
    having count(distinct names.full_key) <= 1
),

normalised as (
    select
        sources.record_key,
        sources.source_system,
        sources.source_object,
        sources.record_id,
        {{ proper_case('names.first_name') }} as first_name,
        {{ proper_case('names.last_name') }} as last_name,
        sources.email,
        phones.phone,
        phones.national_number,
        own_phones.phone is not null as is_own_phone,
        sources.job_title,
        sources.linkedin_url,
        {{ profile_key('sources.linkedin_url') }} as profile_key,
        sources.city,
        sources.country,
        sources.company_name,
        sources.company_domain,
        sources.lifecycle_stage,
        sources.created_at,
        sources.updated_at,
        names.typed_first_key,
        names.first_key,
        names.last_key,
        names.full_key,
        names.generation,
        names.is_nickname,
        names.is_initial,
        addressed.email_key,
        addressed.email_local,
        addressed.email_domain,
        shared_inboxes.local_part is not null or inboxes.email is not null as is_shared_inbox,
        free_email_domains.domain is not null or mail_hosts.email_domain is not null as is_free_domain
    from sources
    inner join names on sources.record_key = names.record_key
    left join phones on sources.record_key = phones.record_key
    left join own_phones on phones.phone = own_phones.phone
    left join addressed on sources.record_key = addressed.record_key
    left join shared_inboxes on addressed.email_local = shared_inboxes.local_part
    left join inboxes on addressed.email = inboxes.email
    left join free_email_domains on addressed.email_domain = free_email_domains.domain
    left join mail_hosts on addressed.email_domain = mail_hosts.email_domain
)

select * from normalised
