{{ enrichment_winners('golden_contacts') }}
