with offered_values as (
    select * from {{ ref('int_company_offered_values') }}
),

final as (
    {{ survivors('offered_values') }}
)

select * from final
