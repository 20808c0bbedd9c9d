{{ enrichment_winners('golden_contacts', [
    'email', 'phone', 'job_title', 'seniority', 'linkedin_url', 'city', 'country'
]) }}
