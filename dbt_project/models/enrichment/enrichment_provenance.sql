with candidates as (
    select * from {{ ref('int_enrichment_candidates') }}
),

-- Countries are decided first: a city is given only with the country that the record ends up with.
country_candidates as (
    select * from candidates
    where field = 'country'
),

decided_countries as (
    {{ decided_by_trust('country_candidates') }}
),

given_countries as (
    select
        entity,
        key,
        value as country
    from decided_countries
    where reason = 'won'
),

placed as (
    select
        candidates.*,
        case
            when
                candidates.field = 'city'
                and lower(trim(coalesce(candidates.answer_country, '')))
                <> lower(trim(coalesce(
                    given_countries.country, candidates.first_party_country, candidates.answer_country, ''
                )))
                and candidates.stated
                <> coalesce({{ comparable('candidates.field', 'candidates.first_party_value') }}, '')
                then 'other_place'
        end as place_reason
    from candidates
    left join given_countries
        on candidates.entity = given_countries.entity and candidates.key = given_countries.key
),

placed_candidates as (
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
        first_party_updated_at,
        over_first_party,
        provider_rank,
        score,
        coalesce(out_reason, place_reason) as out_reason
    from placed
),

decided as (
    {{ decided_by_trust('placed_candidates') }}
),

final as (
    select
        entity,
        key,
        field,
        value,
        provider,
        cast(source_group as varchar) as source_group,
        cast(confidence as numeric(9, 6)) as confidence,
        verification,
        verified_by,
        verified_at,
        cost_usd,
        observed_at,
        expires_at,
        call_id,
        cast(provider_rank as integer) as provider_rank,
        score,
        support,
        n_agreeing,
        place,
        cast(reason as varchar) as reason,
        first_party_value
    from decided
)

select * from final
