with winners as (
    select * from {{ ref('enrichment_provenance') }}
    where entity = 'golden_contacts' and reason = 'won'
),

final as (
    {{ pivot_winners('winners', enriched_fields('golden_contacts')) }}
)

select * from final
