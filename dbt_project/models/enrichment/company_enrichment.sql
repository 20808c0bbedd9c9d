{{ enrichment_winners('golden_companies', [
    'industry', 'employee_count', 'founded_year', 'linkedin_url', 'city', 'country'
]) }}
