with contact_survivors as (
    select * from {{ ref('int_contact_survivors') }}
),

company_survivors as (
    select * from {{ ref('int_company_survivors') }}
),

final as (
    {% for entity in ['contact', 'company'] -%}
    select
        '{{ entity }}' as entity,
        golden_id,
        field,
        value,
        record_key,
        updated_at,
        cast(n_candidates as integer) as n_candidates,
        beaten_value,
        beaten_record_key
    from {{ entity }}_survivors
    {% if not loop.last -%}
    union all
    {% endif -%}
    {% endfor -%}
)

select * from final
