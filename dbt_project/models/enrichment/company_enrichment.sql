with winners as (
    select * from {{ ref('enrichment_provenance') }}
    where entity = 'golden_companies' and reason = 'won'
),

final as (
    {{ pivot_winners('winners', enriched_fields('golden_companies')) }}
)

select * from final
