with candidates as (
    select * from {{ ref('int_enrichment_candidates') }}
),

elsewhere as (
    select * from candidates
    where field <> 'city'
),

{{ ranked_by_trust('elsewhere', 'fields') }},

fields_decided as (
    select
        *,
        {{ verdict_of_trust() }} as reason
    from fields_ranked
),

-- A city is given only with the country that the record ends up with: countries are decided first.
countries as (
    select
        entity,
        key,
        value as country
    from fields_decided
    where field = 'country' and reason = 'won'
),

placed as (
    select
        c.*,
        case
            when
                lower(trim(coalesce(c.answer_country, '')))
                <> lower(trim(coalesce(n.country, c.first_party_country, c.answer_country, '')))
                and c.stated <> coalesce({{ comparable('c.field', 'c.first_party_value') }}, '')
                then 'other_place'
        end as place_reason
    from candidates as c
    left join countries as n on c.entity = n.entity and c.key = n.key
    where c.field = 'city'
),

cities as (
    select
        {{ candidate_columns() }},
        coalesce(out_reason, place_reason) as out_reason
    from placed
),

{{ ranked_by_trust('cities', 'cities') }},

cities_decided as (
    select
        *,
        {{ verdict_of_trust() }} as reason
    from cities_ranked
),

everything as (
    {% for decided in ['fields_decided', 'cities_decided'] -%}
    select
        {{ candidate_columns() }},
        support,
        n_agreeing,
        place,
        reason
    from {{ decided }}
    union all
    {% endfor -%}
    {% for out in ['elsewhere', 'cities'] -%}
    select
        {{ candidate_columns() }},
        cast(null as numeric(9, 6)) as support,
        cast(null as integer) as n_agreeing,
        cast(null as integer) as place,
        out_reason as reason
    from {{ out }}
    where out_reason is not null
    {% if not loop.last %}union all{% endif %}
    {% endfor -%}
)

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
from everything
