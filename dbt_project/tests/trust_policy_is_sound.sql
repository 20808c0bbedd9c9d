-- Weights and confidences are between 0 and 1, and each thing is said once.
with weights as (
    select 'trust_providers: ' || provider || ' ' || field as said, weight from {{ ref('trust_providers') }}
    union all
    select 'trust_verifications: ' || field || ' ' || verification as said, weight from {{ ref('trust_verifications') }}
    union all
    select 'trust_fields: ' || entity || ' ' || field as said, confidence_weight as weight from {{ ref('trust_fields') }}
    union all
    select 'trust_fields: ' || entity || ' ' || field as said, confidence_if_none as weight from {{ ref('trust_fields') }}
    union all
    select 'trust_fields: ' || entity || ' ' || field as said, min_confidence as weight from {{ ref('trust_fields') }}
),

said_twice as (
    select said from (
        select 'trust_providers: ' || provider || ' ' || field as said from {{ ref('trust_providers') }}
        union all
        select 'trust_verifications: ' || field || ' ' || verification as said from {{ ref('trust_verifications') }}
        union all
        select 'trust_fields: ' || entity || ' ' || field as said from {{ ref('trust_fields') }}
    ) as every
    group by said
    having count(*) > 1
)

select said from weights
where weight is null or weight < 0 or weight > 1
union all
select said from said_twice
union all
select 'trust_fields: half_life_days of ' || entity || ' ' || field as said from {{ ref('trust_fields') }}
where half_life_days <= 0
