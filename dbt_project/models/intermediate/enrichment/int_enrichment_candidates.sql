with given as (
    select * from {{ source('revetl', 'enrichment_values') }}
    where entity <> 'verification' and value is not null
),

verdict_rows as (
    select * from {{ source('revetl', 'enrichment_values') }}
    where entity = 'verification'
),

charges as (
    select
        call_id,
        max(charged_usd) as charged_usd
    from {{ source('revetl', 'enrichment_calls') }}
    group by call_id
),

-- The charge of a call is shared over all rows that it led to, whoever's they are.
call_shares as (
    select
        v.call_id,
        max(c.charged_usd) / count(*) as usd
    from given as v
    inner join charges as c on v.call_id = c.call_id
    group by v.call_id
),

verdicts as (
    select
        v.field,
        lower(v.value) as verified_value,
        v.provider,
        max(v.observed_at) as verified_at,
        sum(c.charged_usd) as charged_usd
    from verdict_rows as v
    left join charges as c on v.call_id = c.call_id
    group by v.field, lower(v.value), v.provider
),

settled as (
    select
        field,
        lower(value) as verified_value,
        verified_by,
        count(*) as n_rows
    from given
    where verified_by is not null
    group by field, lower(value), verified_by
),

verdict_shares as (
    select
        s.field,
        s.verified_value,
        s.verified_by,
        d.verified_at,
        d.charged_usd / s.n_rows as usd
    from settled as s
    inner join verdicts as d
        on s.field = d.field and s.verified_value = d.verified_value and s.verified_by = d.provider
),

-- A row per value that is about a golden record of today, beside what the record holds itself.
held as (
    {{ values_of_golden_records('given') }}
),

provider_fields as (
    select distinct
        provider,
        split_part(provider, '.', 1) as vendor,
        field
    from held
),

-- The most exact row of the policy: the provider before its vendor before any, then the field before any.
provider_trust as (
    select
        f.provider,
        f.vendor,
        f.field,
        t.provider_rank,
        t.weight,
        row_number() over (
            partition by f.provider, f.field
            order by
                case when t.provider = f.provider then 0 when t.provider = f.vendor then 1 else 2 end asc,
                case when t.field = f.field then 0 else 1 end asc
        ) as exactness
    from provider_fields as f
    inner join {{ ref('trust_providers') }} as t
        on t.provider in (f.provider, f.vendor, '*') and t.field in (f.field, '*')
),

trusted as (
    select
        h.*,
        {{ comparable('h.field', 'h.value') }} as stated,
        coalesce(s.source_group, split_part(h.provider, '.', 1)) as source_group,
        coalesce(t.provider_rank, 1) as provider_rank,
        coalesce(f.min_confidence, 0) as min_confidence,
        coalesce(h.confidence, f.confidence_if_none, 0.5) as sureness,
        coalesce(f.over_first_party, 'never') as over_first_party,
        coalesce(f.judged_by, 'waterfall') as judged_by,
        cast(coalesce(t.weight, 1) as double precision) as provider_weight,
        cast(coalesce(f.confidence_weight, 1) as double precision) as confidence_weight,
        cast(coalesce(own.weight, every.weight, 1) as double precision) as verification_weight,
        case
            when f.half_life_days is null then 1
            else power(
                cast(0.5 as double precision),
                greatest(0, {{ days_between('h.observed_at', now_utc()) }}) / cast(f.half_life_days as double precision)
            )
        end as recency_weight,
        case when h.verification is not null then coalesce(d.verified_at, h.observed_at) end as verified_at,
        cast(
            case when c.usd is not null or d.usd is not null then coalesce(c.usd, 0) + coalesce(d.usd, 0) end
            as numeric(18, 6)
        ) as cost_usd,
        -- What the same answer said of the place.
        max(case when h.field = 'city' then h.value end)
            over (partition by h.entity, h.key, h.call_id) as answer_city,
        max(case when h.field = 'country' then h.value end)
            over (partition by h.entity, h.key, h.call_id) as answer_country,
        coalesce(city_policy.over_first_party, 'never') = 'always' as city_gives_way
    from held as h
    left join provider_trust as t on h.provider = t.provider and h.field = t.field and t.exactness = 1
    left join {{ ref('trust_fields') }} as f on h.entity = f.entity and h.field = f.field
    left join {{ ref('trust_fields') }} as city_policy on h.entity = city_policy.entity and city_policy.field = 'city'
    left join {{ ref('trust_verifications') }} as own
        on h.field = own.field and coalesce(h.verification, 'none') = own.verification
    left join {{ ref('trust_verifications') }} as every
        on every.field = '*' and coalesce(h.verification, 'none') = every.verification
    left join {{ ref('source_groups') }} as s on split_part(h.provider, '.', 1) = s.vendor
    left join call_shares as c on h.call_id = c.call_id
    left join verdict_shares as d
        on h.field = d.field and lower(h.value) = d.verified_value and h.verified_by = d.verified_by
),

judged as (
    select
        *,
        case
            when rejected_reason is not null and judged_by = 'waterfall' then rejected_reason
            when expires_at <= {{ now_utc() }} then 'expired'
            when field in ('employee_count', 'founded_year') and {{ to_integer('value') }} is null then 'no_number'
            when sureness < min_confidence then 'low_confidence'
            when verification_weight = 0 then coalesce(verification, 'not_verified')
            when provider_weight = 0 then 'not_trusted'
            when
                field = 'country' and first_party_city is not null and not city_gives_way
                and stated <> coalesce({{ comparable('field', 'first_party_value') }}, '')
                and lower(trim(coalesce(answer_city, ''))) <> lower(trim(first_party_city))
                then 'other_place'
        end as own_reason
    from trusted
),

latest as (
    select
        *,
        row_number() over (
            partition by entity, key, field, provider, case when own_reason is null then 0 else 1 end
            order by observed_at desc, call_id desc, value asc
        ) as age_rank
    from judged
)

select
    entity,
    key,
    field,
    value,
    stated,
    provider,
    source_group,
    confidence,
    verification,
    verified_by,
    verified_at,
    cost_usd,
    call_id,
    observed_at,
    expires_at,
    first_party_value,
    first_party_country,
    first_party_updated_at,
    answer_country,
    over_first_party,
    provider_rank,
    cast(
        provider_weight * (1 - confidence_weight * (1 - sureness)) * verification_weight * recency_weight
        as numeric(9, 6)
    ) as score,
    case when own_reason is not null then own_reason when age_rank > 1 then 'superseded' end as out_reason
from latest
