with records as (
    select * from {{ ref('int_contact_records') }}
),

companies as (
    select * from {{ ref('int_company_keys') }}
),

numbers_without_country as (
    select distinct national_number
    from records
    where phone is null and national_number is not null
),

-- `weaker` is what a record must share too where too many share the identifier.
identifiers as (
    select
        record_key,
        'email' as match_rule,
        email_key as identifier,
        full_key as weaker,
        full_key,
        is_shared_inbox as is_crowded
    from records
    where email_key is not null

    union all

    select
        record_key,
        'profile' as match_rule,
        profile_key as identifier,
        full_key as weaker,
        full_key,
        false as is_crowded
    from records
    where profile_key is not null

    union all

    select
        records.record_key,
        'name_at_company' as match_rule,
        records.full_key || '|' || companies.company_key as identifier,
        lower(records.job_title) as weaker,
        records.full_key,
        false as is_crowded
    from records
    inner join companies on records.record_key = companies.record_key
    where records.full_key is not null

    union all

    select
        records.record_key,
        'swapped_name_at_company' as match_rule,
        least(records.first_key, records.last_key) || '|' || greatest(records.first_key, records.last_key)
        || '|' || companies.company_key as identifier,
        lower(records.job_title) as weaker,
        records.full_key,
        false as is_crowded
    from records
    inner join companies on records.record_key = companies.record_key
    where records.full_key is not null

    union all

    -- A record with a last name only, or an initial before it.
    select
        records.record_key,
        'last_name_at_company' as match_rule,
        records.last_key || '|' || companies.company_key as identifier,
        cast(null as varchar) as weaker,
        records.full_key,
        false as is_crowded
    from records
    inner join companies on records.record_key = companies.record_key
    where records.last_key is not null

    union all

    -- A last name that is misspelt.
    select
        records.record_key,
        'first_name_at_company' as match_rule,
        records.first_key || '|' || companies.company_key as identifier,
        cast(null as varchar) as weaker,
        records.full_key,
        false as is_crowded
    from records
    inner join companies on records.record_key = companies.record_key
    where records.full_key is not null

    union all

    select
        record_key,
        'phone' as match_rule,
        phone as identifier,
        full_key as weaker,
        full_key,
        false as is_crowded
    from records
    where phone is not null and last_key is not null

    union all

    select
        records.record_key,
        'national_number' as match_rule,
        records.national_number as identifier,
        records.full_key as weaker,
        records.full_key,
        false as is_crowded
    from records
    inner join numbers_without_country on records.national_number = numbers_without_country.national_number
    where records.full_key is not null
),

blocks as (
    select
        match_rule,
        identifier,
        count(*) as n_records,
        count(distinct full_key) as n_names,
        max(case when is_crowded then 1 else 0 end) as n_crowded
    from identifiers
    group by match_rule, identifier
    having count(*) > 1
),

-- Where few people share a value, every two of its records are compared. Past that the value is a switchboard, an
-- inbox, a frequent name: it still counts, together with another one.
blocked as (
    select
        identifiers.*,
        blocks.n_crowded = 0
        and blocks.n_records <= case identifiers.match_rule
            when 'email' then {{ var('max_records_per_identifier') }}
            when 'profile' then {{ var('max_records_per_identifier') }}
            when 'phone' then {{ var('max_records_per_identifier') }}
            when 'national_number' then {{ var('max_records_per_identifier') }}
            else {{ var('max_records_per_name_at_company') }}
        end
        and blocks.n_names <= case identifiers.match_rule
            when 'phone' then {{ var('max_names_per_phone') }}
            when 'national_number' then {{ var('max_names_per_phone') }}
            -- Of two people of that name nobody knows which one is meant.
            when 'last_name_at_company' then 1
            else blocks.n_names
        end as is_open
    from identifiers
    inner join blocks
        on identifiers.match_rule = blocks.match_rule and identifiers.identifier = blocks.identifier
    where
        case identifiers.match_rule
            when 'swapped_name_at_company' then blocks.n_names > 1
            when 'first_name_at_company' then blocks.n_names > 1
            when 'last_name_at_company' then blocks.n_names < blocks.n_records
            else true
        end
),

all_pairs as (
    select
        left_records.record_key as left_key,
        right_records.record_key as right_key,
        left_records.match_rule,
        left_records.identifier
    from blocked as left_records
    inner join blocked as right_records
        on
            left_records.match_rule = right_records.match_rule
            and left_records.identifier = right_records.identifier
            and left_records.record_key < right_records.record_key
    where
        left_records.is_open
        and case left_records.match_rule
            when 'swapped_name_at_company' then left_records.full_key <> right_records.full_key
            when 'first_name_at_company' then left_records.full_key <> right_records.full_key
            when 'last_name_at_company' then left_records.full_key is null or right_records.full_key is null
            else true
        end
),

-- Records that share both values are alike, so each is paired with the first of them only.
closed as (
    select
        record_key,
        match_rule,
        identifier || '|' || weaker as identifier,
        min(record_key) over (partition by match_rule, identifier, weaker) as first_record_key
    from blocked
    where not is_open and weaker is not null
),

final as (
    select
        left_key,
        right_key,
        match_rule,
        identifier
    from all_pairs

    union all

    select
        first_record_key as left_key,
        record_key as right_key,
        match_rule || case match_rule
            when 'name_at_company' then '_and_title'
            when 'swapped_name_at_company' then '_and_title'
            else '_and_name'
        end as match_rule,
        identifier
    from closed
    where record_key <> first_record_key
)

select * from final
