-- Weights and confidences are between 0 and 1, a half-life is positive, and each thing is declared once.
with trust_fields as (
    select
        *,
        'trust_fields: ' || entity || ' ' || field as declared
    from {{ ref('trust_fields') }}
),

trust_providers as (
    select
        *,
        'trust_providers: ' || provider || ' ' || field as declared
    from {{ ref('trust_providers') }}
),

trust_verifications as (
    select
        *,
        'trust_verifications: ' || field || ' ' || verification as declared
    from {{ ref('trust_verifications') }}
),

weights as (
    select
        declared,
        weight
    from trust_providers
    union all
    select
        declared,
        weight
    from trust_verifications
    union all
    select
        declared,
        confidence_weight as weight
    from trust_fields
    union all
    select
        declared,
        confidence_if_none as weight
    from trust_fields
    union all
    select
        declared,
        min_confidence as weight
    from trust_fields
),

declarations as (
    select declared from trust_providers
    union all
    select declared from trust_verifications
    union all
    select declared from trust_fields
),

problems as (
    select
        declared,
        'not between 0 and 1' as problem
    from weights
    where weight is null or weight < 0 or weight > 1
    union all
    select
        declared,
        'declared more than once' as problem
    from declarations
    group by declared
    having count(*) > 1
    union all
    select
        declared,
        'half_life_days is not positive' as problem
    from trust_fields
    where half_life_days <= 0
)

select * from problems
