with golden as (
    select * from {{ ref('golden_contacts') }}
),

winners as (
    select * from {{ ref('contact_enrichment') }}
),

final as (
    select
        golden.golden_id,
        golden.company_golden_id,
        golden.first_name,
        golden.last_name,
        golden.full_name,
        coalesce(winners.email, golden.email) as email,
        coalesce(winners.phone, golden.phone) as phone,
        coalesce(winners.job_title, golden.job_title) as job_title,
        coalesce(winners.seniority, golden.seniority) as seniority,
        coalesce(winners.linkedin_url, golden.linkedin_url) as linkedin_url,
        coalesce(winners.city, golden.city) as city,
        coalesce(winners.country, golden.country) as country,
        {%- for field, data_type in own_fields('golden_contacts').items() %}
        coalesce({{ as_typed('winners.' ~ field, data_type) }}, golden.{{ field }}) as {{ field }},
        {%- endfor %}
        golden.company_name,
        golden.company_domain,
        golden.lifecycle_stage,
        golden.plan_name,
        golden.mrr_usd,
        golden.last_seen_at,
        golden.open_tickets,
        golden.n_records,
        {% for field in enriched_fields('golden_contacts') %}
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
