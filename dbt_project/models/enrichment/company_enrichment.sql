{{ enrichment_winners('golden_companies') }}
