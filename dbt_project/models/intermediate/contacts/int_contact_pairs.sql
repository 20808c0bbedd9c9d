with records as (
    select * from {{ ref('int_contact_records') }}
),

companies as (
    select
        record_key,
        company_key
    from {{ ref('int_company_members') }}
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
        r.record_key,
        'name_at_company' as match_rule,
        r.first_key || '|' || r.last_key || '|' || c.company_key as identifier
    from records as r
    inner join companies as c on r.record_key = c.record_key
    where length(r.first_key) > 1 and r.last_key is not null

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
)

select
    a.record_key as left_key,
    b.record_key as right_key,
    a.match_rule,
    a.identifier
from capped as a
inner join capped as b
    on
        a.match_rule = b.match_rule
        and a.identifier = b.identifier
        and a.record_key < b.record_key
