with pairs as (
    select * from {{ ref('int_contact_pairs') }}
),

records as (
    select * from {{ ref('int_contact_records') }}
),

compared as (
    select
        p.left_key,
        p.right_key,
        p.match_rule,
        p.identifier,
        coalesce(a.last_key = b.last_key, false) as same_last,
        coalesce({{ edit_distance('a.last_key', 'b.last_key') }} <= 2, false) as similar_last,
        a.last_key is null or b.last_key is null as lacks_last,
        coalesce(a.first_key = b.first_key, false) as same_first,
        a.first_key is null
        or b.first_key is null
        or substr(a.first_key, 1, 1) = substr(b.first_key, 1, 1)
        and (length(a.first_key) = 1 or length(b.first_key) = 1) as may_be_same_first,
        -- john.smith@ and john.smith2@ of one company are two people: administrators number namesakes.
        coalesce(
            a.email_domain = b.email_domain
            and not a.is_shared_inbox and not b.is_shared_inbox
            and {{ regex_replace('a.email_local', '[^0-9]', '') }}
            <> {{ regex_replace('b.email_local', '[^0-9]', '') }},
            false
        ) as is_numbered_apart
    from pairs as p
    inner join records as a on p.left_key = a.record_key
    inner join records as b on p.right_key = b.record_key
)

select
    left_key,
    right_key,
    match_rule,
    identifier
from compared
where
    case match_rule
        -- Two full names that have nothing in common on one address: an inbox that people share.
        when 'email' then same_first or similar_last or lacks_last or may_be_same_first
        when 'name_at_company' then not is_numbered_apart
        -- The members of a family and the namesakes of an office share phones too: both names must agree.
        when 'phone' then similar_last and (same_first or may_be_same_first) and not is_numbered_apart
    end
