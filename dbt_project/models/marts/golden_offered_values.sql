{{ config(materialized='view') }}

with contact_values as (
    select * from {{ ref('int_contact_offered_values') }}
),

company_values as (
    select * from {{ ref('int_company_offered_values') }}
),

final as (
    {% for entity in ['contact', 'company'] -%}
    select
        '{{ entity }}' as entity,
        golden_id,
        field,
        value,
        cast(value_rank as integer) as value_rank,
        record_key,
        updated_at,
        cast(n_records as integer) as n_records,
        lost_by
    from {{ entity }}_values
    {% if not loop.last -%}
    union all
    {% endif -%}
    {% endfor -%}
)

select * from final
