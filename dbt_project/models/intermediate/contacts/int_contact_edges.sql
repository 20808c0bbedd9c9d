with pairs as (
    select * from {{ ref('int_contact_pairs') }}
),

records as (
    select * from {{ ref('int_contact_records') }}
),

compared as (
    select
        pairs.left_key,
        pairs.right_key,
        pairs.match_rule,
        pairs.identifier,
        coalesce(left_records.last_key = right_records.last_key, false) as same_last,
        coalesce(
            {{ edit_distance('left_records.last_key', 'right_records.last_key') }} <= 2, false
        ) as similar_last,
        left_records.last_key is null or right_records.last_key is null as lacks_last,
        coalesce(left_records.first_key = right_records.first_key, false) as same_first,
        left_records.first_key is null
        or right_records.first_key is null
        or substr(left_records.first_key, 1, 1) = substr(right_records.first_key, 1, 1)
        and (length(left_records.first_key) = 1 or length(right_records.first_key) = 1) as may_be_same_first,
        -- john.smith@ and john.smith2@ of one company are two people: administrators number namesakes.
        coalesce(
            left_records.email_domain = right_records.email_domain
            and not left_records.is_shared_inbox
            and not right_records.is_shared_inbox
            and {{ regex_replace('left_records.email_local', '[^0-9]', '') }}
            <> {{ regex_replace('right_records.email_local', '[^0-9]', '') }},
            false
        ) as is_numbered_apart
    from pairs
    inner join records as left_records on pairs.left_key = left_records.record_key
    inner join records as right_records on pairs.right_key = right_records.record_key
),

final as (
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
)

select * from final
