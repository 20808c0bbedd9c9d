with golden as (
    select * from {{ ref('golden_companies') }}
),

winners as (
    select * from {{ ref('company_enrichment') }}
),

final as (
    select
        golden.golden_id,
        golden.name,
        golden.domain,
        coalesce(lower(winners.industry), golden.industry) as industry,
        coalesce({{ to_integer('winners.employee_count') }}, golden.employee_count) as employee_count,
        coalesce({{ to_integer('winners.founded_year') }}, golden.founded_year) as founded_year,
        coalesce(winners.linkedin_url, golden.linkedin_url) as linkedin_url,
        coalesce(winners.city, golden.city) as city,
        coalesce(winners.country, golden.country) as country,
        {%- for field, data_type in own_fields('golden_companies').items() %}
        coalesce({{ as_typed('winners.' ~ field, data_type) }}, golden.{{ field }}) as {{ field }},
        {%- endfor %}
        golden.plan_name,
        golden.mrr_usd,
        golden.n_contacts,
        golden.n_records,
        {% for field in enriched_fields('golden_companies') %}
        case
            when winners.{{ field }} is not null then winners.{{ field }}_source
            when golden.{{ field }} is not null then 'golden'
        end as {{ field }}_source,
        winners.{{ field }}_confidence,
        winners.{{ field }}_verified_at,
        winners.{{ field }}_cost_usd{% if not loop.last %},{% endif %}
        {% endfor %}
    from golden
    left join winners on golden.golden_id = winners.golden_id
)

select * from final
