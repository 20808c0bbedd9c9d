-- Per record and field at most one value leads and at most one is given, and what is given leads.
with provenance as (
    select * from {{ ref('enrichment_provenance') }}
),

counted as (
    select
        entity,
        key,
        field,
        sum(case when place = 1 then 1 else 0 end) as n_leading,
        sum(case when reason = 'won' then 1 else 0 end) as n_given,
        sum(case when reason = 'won' and (place is null or place > 1) then 1 else 0 end) as n_given_without_leading
    from provenance
    group by entity, key, field
)

select * from counted
where n_leading > 1 or n_given > 1 or n_given_without_leading > 0
