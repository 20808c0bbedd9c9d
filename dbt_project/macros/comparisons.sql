{# How two contact records compare. Used for candidate pairs, and again for every two records that became one person. #}

{#
  Two spellings of one word. Of one or two letters it is compared exactly; three or four may have one edit; more have two,
  which is what swapping two letters takes. In a word of four letters two edits are half of it: the first must be the same.
#}
{% macro similar_keys(left_key, right_key) %}
coalesce(
        {{ left_key }} = {{ right_key }}
        or {{ edit_distance(left_key, right_key) }} <= case least(length({{ left_key }}), length({{ right_key }}))
            when 1 then 0
            when 2 then 0
            when 3 then 1
            when 4 then case when substr({{ left_key }}, 1, 1) = substr({{ right_key }}, 1, 1) then 2 else 1 end
            else 2
        end,
        false
    )
{%- endmacro %}

{# True where one part of a double or compound name stands for the whole: Marquez and García Márquez. #}
{% macro contains_key(longer, shorter) %}
(length({{ shorter }}) >= 4 and ({{ longer }} like {{ shorter }} || '%' or {{ longer }} like '%' || {{ shorter }}))
{%- endmacro %}

{#
  A whole statement: the rows of `pairs` (left_key, right_key and whatever else) with what `records` (int_contact_records)
  say of the two, in `name_level`, from the best down:

  same       both names in full, in either order, nicknames folded
  close      last names similar, first names equal or one short for the other
  initial    last names similar, one first name missing or an initial that fits
  part       one record has one name only, and it is one of the other's
  typo       last names similar, first names similar
  first      first names equal, last names differ: a marriage, or two people
  none       a record without any name
  unlike     one name only, and it is none of the other's
  family     last names similar, first names differ
  different  nothing in common
#}
{% macro contact_comparisons(pairs, records) -%}
with measured as (
    select
        pairs.*,
        left_records.first_key as left_first,
        right_records.first_key as right_first,
        left_records.last_key as left_last,
        right_records.last_key as right_last,
        left_records.full_key = right_records.full_key as same_full,
        left_records.is_initial or right_records.is_initial as has_initial,
        left_records.is_initial and left_records.first_key in (
            substr(right_records.first_key, 1, 1), substr(right_records.typed_first_key, 1, 1)
        )
        or right_records.is_initial and right_records.first_key in (
            substr(left_records.first_key, 1, 1), substr(left_records.typed_first_key, 1, 1)
        ) as initial_fits,
        -- Alex is short for Alexander and for Alexandra; the seed of nicknames knows one of them.
        left_records.is_nickname and right_records.typed_first_key like left_records.typed_first_key || '%'
        or right_records.is_nickname and left_records.typed_first_key like right_records.typed_first_key || '%'
        as short_first,
        {{ similar_keys('left_records.typed_first_key', 'right_records.typed_first_key') }} as similar_first,
        {{ similar_keys('left_records.last_key', 'right_records.last_key') }}
        or coalesce({{ contains_key('left_records.last_key', 'right_records.last_key') }}, false)
        or coalesce({{ contains_key('right_records.last_key', 'left_records.last_key') }}, false) as similar_last,
        coalesce(left_records.generation <> right_records.generation, false) as is_generation_apart,
        -- john.smith@ and john.smith2@ of one company are two people: administrators number namesakes. People who
        -- choose an address at a free host put any number into it.
        coalesce(
            left_records.email_domain = right_records.email_domain
            and not left_records.is_free_domain
            and not left_records.is_shared_inbox
            and not right_records.is_shared_inbox
            and {{ regex_replace('left_records.email_local', '[^0-9]', '') }}
            <> {{ regex_replace('right_records.email_local', '[^0-9]', '') }},
            false
        ) as is_numbered_apart,
        -- Two addresses at one company: few people have them.
        coalesce(
            left_records.email_domain = right_records.email_domain
            and left_records.email_key <> right_records.email_key
            and not left_records.is_free_domain
            and not left_records.is_shared_inbox
            and not right_records.is_shared_inbox,
            false
        ) as has_other_address,
        -- Two numbers of their own, and no address that could say more.
        coalesce(
            left_records.phone <> right_records.phone
            and left_records.is_own_phone
            and right_records.is_own_phone
            and left_records.email_key is null
            and right_records.email_key is null,
            false
        ) as has_other_phone,
        -- The address names one of the two.
        coalesce(length(left_records.typed_first_key) > 2
            and left_records.email_local like '%' || left_records.typed_first_key || '%', false)
        or coalesce(length(right_records.typed_first_key) > 2
            and left_records.email_local like '%' || right_records.typed_first_key || '%', false) as is_named_by_email
    from {{ pairs }} as pairs
    inner join {{ records }} as left_records on pairs.left_key = left_records.record_key
    inner join {{ records }} as right_records on pairs.right_key = right_records.record_key
),

levelled as (
    select
        *,
        case
            when same_full or (left_first = right_last and left_last = right_first) then 'same'
            when coalesce(left_first, left_last) is null or coalesce(right_first, right_last) is null then 'none'
            when similar_last and not has_initial and (left_first = right_first or short_first) then 'close'
            when similar_last and (initial_fits or left_first is null or right_first is null) then 'initial'
            when similar_last and similar_first and not has_initial then 'typo'
            when
                (left_first is null or left_last is null or right_first is null or right_last is null)
                and (left_first = right_first or left_first = right_last or left_last = right_first)
                then 'part'
            when left_first is null and right_last is null or left_last is null and right_first is null then 'none'
            when left_first is null or left_last is null or right_first is null or right_last is null then 'unlike'
            when left_first = right_first and not has_initial then 'first'
            when similar_last then 'family'
            when has_initial and initial_fits then 'unlike'
            else 'different'
        end as name_level
    from measured
)

select
    *,
    name_level in ('family', 'different') or is_generation_apart or is_numbered_apart as is_apart
from levelled
{%- endmacro %}

{# A whole statement: what people have decided on pairs of records, the smaller key first. `records` tells which are there still. #}
{% macro decided_pairs(decisions, records) -%}
select distinct
        least(decisions.left_key, decisions.right_key) as left_key,
        greatest(decisions.left_key, decisions.right_key) as right_key,
        decisions.decision
    from {{ decisions }} as decisions
    inner join {{ records }} as left_records on decisions.left_key = left_records.record_key
    inner join {{ records }} as right_records on decisions.right_key = right_records.record_key
{%- endmacro %}
