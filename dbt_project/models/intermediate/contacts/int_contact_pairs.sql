with records as (
    select * from {{ ref('int_contact_records') }}
),

companies as (
    select * from {{ ref('int_company_members') }}
),

identifiers as (
    select
        record_key,
        'email' as match_rule,
        email as identifier
    from records
    where email is not null and not is_shared_inbox

    union all

    select
        records.record_key,
        'name_at_company' as match_rule,
        records.first_key || '|' || records.last_key || '|' || companies.company_key as identifier
    from records
    inner join companies on records.record_key = companies.record_key
    where length(records.first_key) > 1 and records.last_key is not null

    union all

    select
        record_key,
        'phone' as match_rule,
        phone as identifier
    from records
    where phone is not null and last_key is not null
),

-- The cap: what too many records share identifies nobody, and pairs inside a group grow with its square.
counted as (
    select
        *,
        count(*) over (partition by match_rule, identifier) as n_records
    from identifiers
),

capped as (
    select *
    from counted
    where
        n_records > 1
        and n_records <= case match_rule
            when 'email' then {{ var('max_records_per_email') }}
            when 'phone' then {{ var('max_records_per_phone') }}
            else {{ var('max_records_per_name_at_company') }}
        end
),

final as (
    select
        left_records.record_key as left_key,
        right_records.record_key as right_key,
        left_records.match_rule,
        left_records.identifier
    from capped as left_records
    inner join capped as right_records
        on
            left_records.match_rule = right_records.match_rule
            and left_records.identifier = right_records.identifier
            and left_records.record_key < right_records.record_key
)

select * from final
