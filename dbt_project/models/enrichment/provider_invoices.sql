with calls as (
    select * from {{ source('revetl', 'enrichment_calls') }}
),

declared_prices as (
    select * from {{ source('revetl', 'provider_terms') }}
),

-- An outcome that came later overrules a doubt.
call_outcomes as (
    select
        call_id,
        provider,
        cast(min(asked_at) as date) as asked_on,
        coalesce(
            max(case when status not in ('intent', 'in_doubt') then status end),
            max(case when status = 'in_doubt' then status end),
            'intent'
        ) as status,
        max(expected_usd) as reserved_usd,
        max(charged_usd) as charged_usd,
        max(credits_charged) as credits_charged,
        min(credits_remaining) as credits_remaining
    from calls
    group by call_id, provider
),

daily as (
    select
        provider,
        asked_on,
        count(*) as n_calls,
        sum(case when status = 'hit' then 1 else 0 end) as n_hits,
        sum(case when status = 'miss' then 1 else 0 end) as n_misses,
        sum(case when status = 'error' then 1 else 0 end) as n_errors,
        sum(case when status in ('intent', 'in_doubt') then 1 else 0 end) as n_in_doubt,
        sum(coalesce(charged_usd, 0)) as charged_usd,
        sum(case when status in ('intent', 'in_doubt') then reserved_usd else 0 end) as in_doubt_usd,
        sum(credits_charged) as credits_charged,
        max(credits_remaining) as credits_remaining_first,
        min(credits_remaining) as credits_remaining_last
    from call_outcomes
    group by provider, asked_on
),

compared as (
    select
        daily.*,
        declared_prices.vendor,
        daily.n_hits * (declared_prices.per_call_usd + declared_prices.per_hit_usd)
        + daily.n_misses * declared_prices.per_call_usd as expected_usd,
        daily.n_hits * declared_prices.greatest_usd
        + daily.n_misses * declared_prices.per_call_usd as expected_at_most_usd,
        daily.credits_charged * declared_prices.credit_usd as credits_usd
    from daily
    left join declared_prices on daily.provider = declared_prices.provider
),

final as (
    select
        provider,
        coalesce(vendor, provider) as vendor,
        asked_on,
        cast(n_calls as bigint) as n_calls,
        cast(n_hits as bigint) as n_hits,
        cast(n_misses as bigint) as n_misses,
        cast(n_errors as bigint) as n_errors,
        cast(n_in_doubt as bigint) as n_in_doubt,
        cast(expected_usd as numeric(18, 6)) as expected_usd,
        cast(expected_at_most_usd as numeric(18, 6)) as expected_at_most_usd,
        cast(charged_usd as numeric(18, 6)) as charged_usd,
        cast(in_doubt_usd as numeric(18, 6)) as in_doubt_usd,
        cast(credits_charged as numeric(18, 6)) as credits_charged,
        cast(credits_usd as numeric(18, 6)) as credits_usd,
        cast(credits_remaining_first as numeric(18, 6)) as credits_remaining_first,
        cast(credits_remaining_last as numeric(18, 6)) as credits_remaining_last,
        case
            when charged_usd > expected_at_most_usd then 'above_price'
            when abs(credits_usd - charged_usd) > 0.01 then 'credits_differ'
            when n_in_doubt > 0 then 'in_doubt'
            else 'agrees'
        end as verdict
    from compared
)

select * from final
