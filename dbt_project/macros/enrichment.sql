{# Golden model → the fields that providers may fill. Fields of your own: here, in the models' contracts, in `trust_fields`. #}
{% macro enriched_fields() -%}
{{ return({
    'golden_contacts': ['email', 'phone', 'job_title', 'seniority', 'linkedin_url', 'city', 'country'],
    'golden_companies': ['industry', 'employee_count', 'founded_year', 'linkedin_url', 'city', 'country'],
}) }}
{%- endmacro %}

{# The rows of `given` that are about a golden record of today, beside what the record holds itself. #}
{% macro values_of_golden_records(given) -%}
{% for entity, fields in enriched_fields().items() -%}
select
    v.*,
    case v.field
        {% for field in fields -%}
        when '{{ field }}' then cast(g.{{ field }} as varchar)
        {% endfor -%}
    end as first_party_value,
    g.city as first_party_city,
    g.country as first_party_country,
    p.updated_at as first_party_updated_at
from {{ given }} as v
inner join {{ ref(entity) }} as g on v.key = g.golden_id
left join {{ ref('golden_provenance') }} as p
    on v.key = p.golden_id and v.field = p.field and p.entity = '{{ 'contact' if entity == 'golden_contacts' else 'company' }}'
where v.entity = '{{ entity }}' and v.field in ('{{ fields | join("', '") }}')
{% if not loop.last %}union all{% endif %}
{% endfor -%}
{%- endmacro %}

{# What two values have in common that say the same: no case, no outer blanks, no punctuation of phones, no https://www. #}
{% macro comparable(field, value) -%}
case {{ field }}
    when 'phone' then {{ regex_replace(value, '[^0-9]', '') }}
    when 'linkedin_url'
        then {{ regex_replace(regex_replace('lower(trim(' ~ value ~ '))', '^(https?://)?(www[.])?', ''), '/+$', '') }}
    else lower(trim({{ value }}))
end
{%- endmacro %}

{# Days of the calendar between two moments. #}
{% macro days_between(earlier, later) -%}
(cast({{ later }} as date) - cast({{ earlier }} as date))
{%- endmacro %}

{#
  CTEs `<name>_supports` and `<name>_ranked`: the values of `candidates` that are not out, in order of trust. Per value
  that is said, each source group counts once, with its best score; what differs from the first place in `stated` is
  another opinion.
#}
{% macro ranked_by_trust(candidates, name) -%}
{{ name }}_witnesses as (
    select
        entity,
        key,
        field,
        stated,
        source_group,
        max(score) as score,
        min(provider_rank) as provider_rank
    from {{ candidates }}
    where out_reason is null
    group by entity, key, field, stated, source_group
),

{{ name }}_supports as (
    select
        entity,
        key,
        field,
        stated,
        cast(count(*) as integer) as n_agreeing,
        min(provider_rank) as best_rank,
        -- A hair is added, so that an exact half is rounded alike by every warehouse.
        cast(
            1.000000001 - exp(sum(ln(1 - least(cast(score as double precision), 0.999999)))) as numeric(9, 6)
        ) as support
    from {{ name }}_witnesses
    group by entity, key, field, stated
),

{{ name }}_ranked as (
    select
        c.*,
        s.n_agreeing,
        s.best_rank,
        s.support,
        cast(row_number() over (
            partition by c.entity, c.key, c.field
            order by
                s.best_rank asc, s.support desc, s.stated asc, c.provider_rank asc, c.score desc,
                c.observed_at desc, c.provider asc, c.value asc, c.call_id asc
        ) as integer) as place,
        first_value(s.best_rank) over (
            partition by c.entity, c.key, c.field order by s.best_rank asc, s.support desc, s.stated asc
        ) as leading_rank,
        first_value(c.stated) over (
            partition by c.entity, c.key, c.field order by s.best_rank asc, s.support desc, s.stated asc
        ) as leading_statement
    from {{ candidates }} as c
    inner join {{ name }}_supports as s
        on c.entity = s.entity and c.key = s.key and c.field = s.field and c.stated = s.stated
    where c.out_reason is null
)
{%- endmacro %}

{# The columns of `int_enrichment_candidates` but the last one, `out_reason`. #}
{% macro candidate_columns() -%}
{{ return([
    'entity', 'key', 'field', 'value', 'stated', 'provider', 'source_group', 'confidence', 'verification', 'verified_by',
    'verified_at', 'cost_usd', 'call_id', 'observed_at', 'expires_at', 'first_party_value', 'first_party_country',
    'first_party_updated_at', 'answer_country', 'over_first_party', 'provider_rank', 'score',
] | join(',\n        ')) }}
{%- endmacro %}

{# Why the value of a ranked row is given to its record (`won`) or is not. #}
{% macro verdict_of_trust() -%}
case
    when place > 1 and stated = leading_statement then 'agrees'
    when place > 1 and best_rank > leading_rank then 'provider_rank'
    when place > 1 then 'less_trusted'
    when first_party_value is null then 'won'
    when {{ comparable('field', 'first_party_value') }} = stated then 'same_as_first_party'
    when over_first_party = 'always' then 'won'
    when over_first_party = 'if_verified' and verification = 'valid' then 'won'
    when over_first_party = 'if_newer' and observed_at > first_party_updated_at then 'won'
    else 'first_party'
end
{%- endmacro %}

{# One row per golden record of `entity` that was given a value: per field what, by whom, how sure, when and for how much. #}
{% macro enrichment_winners(entity) -%}
select
    key as golden_id,
    {% for field in enriched_fields()[entity] -%}
    max(case when field = '{{ field }}' then value end) as {{ field }},
    max(case when field = '{{ field }}' then provider end) as {{ field }}_source,
    max(case when field = '{{ field }}' then confidence end) as {{ field }}_confidence,
    max(case when field = '{{ field }}' then verification end) as {{ field }}_verification,
    max(case when field = '{{ field }}' then verified_at end) as {{ field }}_verified_at,
    max(case when field = '{{ field }}' then observed_at end) as {{ field }}_observed_at,
    max(case when field = '{{ field }}' then cost_usd end) as {{ field }}_cost_usd{{ "," if not loop.last }}
    {% endfor %}
from {{ ref('enrichment_provenance') }}
where entity = '{{ entity }}' and reason = 'won'
group by key
{%- endmacro %}

{# The columns that tell where an enriched field's value is from, for a golden record `g` of `entity` and its winners `w`. #}
{% macro enriched_details(entity) -%}
{% for field in enriched_fields()[entity] -%}
case when w.{{ field }} is not null then w.{{ field }}_source when g.{{ field }} is not null then 'golden' end as {{ field }}_source,
    w.{{ field }}_confidence,
    w.{{ field }}_verified_at,
    w.{{ field }}_cost_usd{{ "," if not loop.last }}
    {% endfor %}
{%- endmacro %}
