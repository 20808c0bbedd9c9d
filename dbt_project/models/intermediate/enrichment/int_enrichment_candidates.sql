with enrichment_values as (
    select * from {{ source('revetl', 'enrichment_values') }}
),

enrichment_calls as (
    select * from {{ source('revetl', 'enrichment_calls') }}
),

golden_contacts as (
    select * from {{ ref('golden_contacts') }}
),

golden_companies as (
    select * from {{ ref('golden_companies') }}
),

golden_provenance as (
    select * from {{ ref('golden_provenance') }}
),

trust_providers as (
    select * from {{ ref('trust_providers') }}
),

trust_fields as (
    select * from {{ ref('trust_fields') }}
),

trust_verifications as (
    select * from {{ ref('trust_verifications') }}
),

source_groups as (
    select * from {{ ref('source_groups') }}
),

given as (
    select * from enrichment_values
    where entity <> 'verification' and value is not null
),

verifications as (
    select * from enrichment_values
    where entity = 'verification'
),

charges as (
    select
        call_id,
        max(charged_usd) as charged_usd
    from enrichment_calls
    group by call_id
),

-- The charge of a call is shared over all rows that it led to, whoever's they are.
call_shares as (
    select
        given.call_id,
        max(charges.charged_usd) / count(*) as share_usd
    from given
    inner join charges on given.call_id = charges.call_id
    group by given.call_id
),

verdicts as (
    select
        verifications.field,
        lower(verifications.value) as verified_value,
        verifications.provider as verified_by,
        max(verifications.observed_at) as verified_at,
        sum(charges.charged_usd) as charged_usd
    from verifications
    left join charges on verifications.call_id = charges.call_id
    group by verifications.field, lower(verifications.value), verifications.provider
),

verified_rows as (
    select
        field,
        lower(value) as verified_value,
        verified_by,
        count(*) as n_rows
    from given
    where verified_by is not null
    group by field, lower(value), verified_by
),

-- The charge of a verdict is shared over the rows that hold its value and were judged by it.
verdict_shares as (
    select
        verified_rows.field,
        verified_rows.verified_value,
        verified_rows.verified_by,
        verdicts.verified_at,
        verdicts.charged_usd / verified_rows.n_rows as share_usd
    from verified_rows
    inner join verdicts
        on
            verified_rows.field = verdicts.field
            and verified_rows.verified_value = verdicts.verified_value
            and verified_rows.verified_by = verdicts.verified_by
),

-- A row per value that is about a golden record of today, beside what the record holds itself.
beside_first_party as (
    {{ values_beside_first_party('given', 'golden_contacts', 'golden_contacts', 'golden_provenance') }}
    union all
    {{ values_beside_first_party('given', 'golden_companies', 'golden_companies', 'golden_provenance') }}
),

provider_fields as (
    select distinct
        provider,
        split_part(provider, '.', 1) as vendor,
        field
    from beside_first_party
),

-- The most exact row of the policy: the provider before its vendor before any, then the field before any.
provider_policies as (
    select
        provider_fields.provider,
        provider_fields.field,
        trust_providers.provider_rank,
        trust_providers.weight,
        row_number() over (
            partition by provider_fields.provider, provider_fields.field
            order by
                case
                    when trust_providers.provider = provider_fields.provider then 0
                    when trust_providers.provider = provider_fields.vendor then 1
                    else 2
                end asc,
                case when trust_providers.field = provider_fields.field then 0 else 1 end asc
        ) as exactness
    from provider_fields
    inner join trust_providers
        on
            trust_providers.provider in (provider_fields.provider, provider_fields.vendor, '*')
            and trust_providers.field in (provider_fields.field, '*')
),

trusted as (
    select
        beside_first_party.*,
        {{ comparable('beside_first_party.field', 'beside_first_party.value') }} as stated,
        coalesce(source_groups.source_group, split_part(beside_first_party.provider, '.', 1)) as source_group,
        coalesce(provider_policies.provider_rank, 1) as provider_rank,
        coalesce(field_policies.min_confidence, 0) as min_confidence,
        coalesce(beside_first_party.confidence, field_policies.confidence_if_none, 0.5) as effective_confidence,
        coalesce(field_policies.over_first_party, 'never') as over_first_party,
        coalesce(field_policies.judged_by, 'waterfall') as judged_by,
        cast(coalesce(provider_policies.weight, 1) as double precision) as provider_weight,
        cast(coalesce(field_policies.confidence_weight, 1) as double precision) as confidence_weight,
        cast(
            coalesce(field_verifications.weight, any_field_verifications.weight, 1) as double precision
        ) as verification_weight,
        case
            when field_policies.half_life_days is null then 1
            else power(
                cast(0.5 as double precision),
                greatest(0, {{ days_between('beside_first_party.observed_at', now_utc()) }})
                / cast(field_policies.half_life_days as double precision)
            )
        end as recency_weight,
        case
            when beside_first_party.verification is not null
                then coalesce(verdict_shares.verified_at, beside_first_party.observed_at)
        end as verified_at,
        cast(
            case
                when call_shares.share_usd is not null or verdict_shares.share_usd is not null
                    then coalesce(call_shares.share_usd, 0) + coalesce(verdict_shares.share_usd, 0)
            end as numeric(18, 6)
        ) as cost_usd,
        -- What the same answer said of the place.
        max(case when beside_first_party.field = 'city' then beside_first_party.value end) over (
            partition by beside_first_party.entity, beside_first_party.key, beside_first_party.call_id
        ) as answer_city,
        max(case when beside_first_party.field = 'country' then beside_first_party.value end) over (
            partition by beside_first_party.entity, beside_first_party.key, beside_first_party.call_id
        ) as answer_country,
        coalesce(city_policies.over_first_party, 'never') = 'always' as city_gives_way
    from beside_first_party
    left join provider_policies
        on
            beside_first_party.provider = provider_policies.provider
            and beside_first_party.field = provider_policies.field
            and provider_policies.exactness = 1
    left join trust_fields as field_policies
        on
            beside_first_party.entity = field_policies.entity
            and beside_first_party.field = field_policies.field
    left join trust_fields as city_policies
        on
            beside_first_party.entity = city_policies.entity
            and city_policies.field = 'city'
    left join trust_verifications as field_verifications
        on
            beside_first_party.field = field_verifications.field
            and coalesce(beside_first_party.verification, 'none') = field_verifications.verification
    left join trust_verifications as any_field_verifications
        on
            any_field_verifications.field = '*'
            and coalesce(beside_first_party.verification, 'none') = any_field_verifications.verification
    left join source_groups
        on split_part(beside_first_party.provider, '.', 1) = source_groups.vendor
    left join call_shares
        on beside_first_party.call_id = call_shares.call_id
    left join verdict_shares
        on
            beside_first_party.field = verdict_shares.field
            and lower(beside_first_party.value) = verdict_shares.verified_value
            and beside_first_party.verified_by = verdict_shares.verified_by
),

judged as (
    select
        *,
        case
            when rejected_reason is not null and judged_by = 'waterfall' then rejected_reason
            when expires_at <= {{ now_utc() }} then 'expired'
            when field in ('employee_count', 'founded_year') and {{ to_integer('value') }} is null then 'no_number'
            when effective_confidence < min_confidence then 'low_confidence'
            when verification_weight = 0 then coalesce(verification, 'not_verified')
            when provider_weight = 0 then 'not_trusted'
            when
                field = 'country'
                and first_party_city is not null
                and not city_gives_way
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
),

final as (
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
            provider_weight
            * (1 - confidence_weight * (1 - effective_confidence))
            * verification_weight
            * recency_weight
            as numeric(9, 6)
        ) as score,
        case when own_reason is not null then own_reason when age_rank > 1 then 'superseded' end as out_reason
    from latest
)

select * from final
