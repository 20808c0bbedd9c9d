with compared as (
    {{ contact_comparisons(ref('int_contact_pairs'), ref('int_contact_records')) }}
),

decisions as (
    {{ decided_pairs(ref('steward_decisions'), ref('int_contact_records')) }}
),

-- An address that two people use says nothing about a record without a name.
judged as (
    select
        *,
        name_level in ('same', 'close', 'initial') as names_agree,
        max(case when name_level in ('different', 'family') then 1 else 0 end) over (
            partition by match_rule, identifier
        ) as n_contested
    from compared
),

ruled as (
    select
        left_key,
        right_key,
        match_rule,
        identifier,
        case match_rule
            when 'profile' then 10
            when 'email' then 8
            when 'phone' then 6
            when 'national_number' then 4
            when 'last_name_at_company' then 3
            when 'first_name_at_company' then 3
            else 5
        end as identifier_weight,
        case when name_level = 'same' then 2 when names_agree then 1 else 0 end as name_weight
    from judged
    where
        not is_generation_apart
        and case
            when match_rule in ('email', 'profile')
                then
                    names_agree
                    or name_level in ('part', 'typo', 'first')
                    or name_level = 'none' and n_contested = 0
                    -- A couple's address, unless it names one of them: then both names are that person's.
                    or name_level = 'family' and is_named_by_email
            when match_rule = 'name_at_company'
                then not is_numbered_apart and not has_other_phone
            -- The members of a family and the namesakes of an office share phones too: both names must agree.
            when match_rule = 'phone' then names_agree and not is_numbered_apart
            when match_rule = 'national_number' then name_level in ('same', 'close') and not is_numbered_apart
            when match_rule = 'last_name_at_company'
                then name_level = 'initial' and not has_other_address and not has_other_phone
            when match_rule = 'first_name_at_company'
                then name_level = 'close' and not has_other_address and not has_other_phone
            else name_level = 'same' and not is_numbered_apart
        end
),

final as (
    select
        ruled.left_key,
        ruled.right_key,
        ruled.match_rule,
        ruled.identifier,
        ruled.identifier_weight + ruled.name_weight as weight,
        ruled.identifier_weight,
        ruled.name_weight
    from ruled
    left join decisions
        on ruled.left_key = decisions.left_key and ruled.right_key = decisions.right_key
    where coalesce(decisions.decision, 'same') = 'same'

    union all

    select
        left_key,
        right_key,
        'steward' as match_rule,
        cast(null as varchar) as identifier,
        1000 as weight,
        1000 as identifier_weight,
        0 as name_weight
    from decisions
    where decision = 'same'
)

select * from final
