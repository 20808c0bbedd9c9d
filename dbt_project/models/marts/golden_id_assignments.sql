{{ config(materialized='lasting_ids') }}

with contact_records as (
    select * from {{ ref('int_contact_sources') }}
),

components as (
    select * from {{ ref('int_contact_components') }}
),

clusters as (
    select * from {{ ref('int_contact_clusters') }}
),

contacts as (
    select
        components.node as member_key,
        coalesce(clusters.cluster, components.component) as cluster_key,
        contact_records.created_at
    from components
    inner join contact_records on components.node = contact_records.record_key
    left join clusters on components.node = clusters.node
),

company_keys as (
    select * from {{ ref('int_company_keys') }}
),

counted_names as (
    select
        company_words,
        company_key,
        count(*) as n_mentions
    from company_keys
    where company_words is not null
    group by company_words, company_key
),

ranked_names as (
    select
        company_words,
        company_key,
        n_mentions,
        sum(n_mentions) over (partition by company_words) as n_mentions_of_all
    from counted_names
),

-- A company is known again by its key, by the accounts that are its, and by a name that is its alone. Not by the
-- contacts who work there: they change their employers.
companies as (
    select
        company_key as member_key,
        company_key as cluster_key
    from company_keys
    union
    select
        'record:' || record_key as member_key,
        company_key as cluster_key
    from company_keys
    where source_object = 'companies'
    union
    select
        'name:' || company_words as member_key,
        company_key as cluster_key
    from ranked_names
    where 2 * n_mentions > n_mentions_of_all
),

final as (
    select
        'contact' as entity,
        member_key,
        cluster_key,
        created_at
    from contacts
    union all
    select
        'company' as entity,
        member_key,
        cluster_key,
        cast(null as timestamp) as created_at
    from companies
)

select * from final
