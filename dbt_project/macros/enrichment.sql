{# The fields that the models under marts/ and enrichment/ write out, since sources have them too or they have a rule. #}
{% macro written_out_fields(golden_model) -%}
{{ return({
    'golden_contacts': ['email', 'phone', 'job_title', 'seniority', 'linkedin_url', 'city', 'country'],
    'golden_companies': ['industry', 'employee_count', 'founded_year', 'linkedin_url', 'city', 'country'],
}[golden_model]) }}
{%- endmacro %}

{#
  The golden contract: the columns of a golden model that providers may fill, by name, each with its type. A field of your
  own is one column with `config: {meta: {enrichable: true}}` in the .yml of the golden model, and nothing here. It is read
  from dbt's graph, which there is when a model is built. While the project is parsed, and in unit tests, there is none.
#}
{% macro enrichable_columns(golden_model) -%}
{%- set found = {} -%}
{%- if execute and graph.nodes is defined -%}
    {%- for node in graph.nodes.values() if node.resource_type == 'model' and node.name == golden_model -%}
        {%- for column in node.columns.values() if column.get('config', {}).get('meta', {}).get('enrichable') -%}
            {%- do found.update({column.name: column.get('data_type') or 'varchar'}) -%}
        {%- endfor -%}
    {%- endfor -%}
    {%- if not found -%}
        {%- do exceptions.raise_compiler_error(
            'no column of ' ~ golden_model ~ ' may be filled: give one config: {meta: {enrichable: true}}'
        ) -%}
    {%- endif -%}
{%- else -%}
    {%- for name in written_out_fields(golden_model) -%}
        {%- do found.update({name: 'varchar'}) -%}
    {%- endfor -%}
{%- endif -%}
{{ return(found) }}
{%- endmacro %}

{# The fields that providers may fill. #}
{% macro enriched_fields(golden_model) -%}
{{ return(enrichable_columns(golden_model).keys() | list) }}
{%- endmacro %}

{# Fields of your own, each with its type: those that no model writes out. The golden models hold them as NULL. #}
{% macro own_fields(golden_model) -%}
{%- set found = {} -%}
{%- for name, data_type in enrichable_columns(golden_model).items() if name not in written_out_fields(golden_model) -%}
    {%- do found.update({name: data_type}) -%}
{%- endfor -%}
{{ return(found) }}
{%- endmacro %}

{# A text of a provider as a value of this type; NULL where it is none. An expression. #}
{% macro as_typed(value, data_type) -%}
{%- set kind = data_type | lower -%}
{%- if kind in ('integer', 'int') -%}
{{ to_integer(value) }}
{%- elif kind.split('(')[0] | trim in ('numeric', 'decimal', 'number', 'double', 'double precision', 'float', 'bigint') -%}
case when {{ regex_matches(value, ' *-?[0-9]{1,15}([.][0-9]{1,6})? *') }} then cast({{ value }} as {{ data_type }}) end
{%- else -%}
{{ value }}
{%- endif -%}
{%- endmacro %}

{#
  The rows of `given_values` that are about a golden record of today, beside what the record holds itself. A whole
  statement. `golden_records` and `provenance` name CTEs with the rows of `golden_model` and of golden_provenance.
#}
{% macro values_beside_first_party(given_values, golden_model, golden_records, provenance) -%}
{%- set fields = enriched_fields(golden_model) -%}
select
    given_values.*,
    case given_values.field
        {% for field in fields -%}
        when '{{ field }}' then cast(golden_records.{{ field }} as varchar)
        {% endfor -%}
    end as first_party_value,
    golden_records.city as first_party_city,
    golden_records.country as first_party_country,
    provenance.updated_at as first_party_updated_at
from {{ given_values }} as given_values
inner join {{ golden_records }} as golden_records
    on given_values.key = golden_records.golden_id
left join {{ provenance }} as provenance
    on
        given_values.key = provenance.golden_id
        and given_values.field = provenance.field
        and provenance.entity = '{{ 'contact' if golden_model == 'golden_contacts' else 'company' }}'
where
    given_values.entity = '{{ golden_model }}'
    and given_values.field in ('{{ fields | join("', '") }}')
{%- endmacro %}

{#
  What two values have in common that say the same: no case, no outer blanks, no punctuation of phones, no https://www.
  An expression.
#}
{% macro comparable(field, value) -%}
case {{ field }}
    when 'phone' then {{ regex_replace(value, '[^0-9]', '') }}
    when 'linkedin_url'
        then {{ regex_replace(regex_replace('lower(trim(' ~ value ~ '))', '^(https?://)?(www[.])?', ''), '/+$', '') }}
    else lower(trim({{ value }}))
end
{%- endmacro %}

{# Days of the calendar between two moments. An expression. #}
{% macro days_between(earlier, later) -%}
(cast({{ later }} as date) - cast({{ earlier }} as date))
{%- endmacro %}

{#
  The rows of `candidates`, columns as in int_enrichment_candidates, each with its place among the values of its record
  and field, and the reason why it won or lost. A whole statement.

  Per value that is stated, each source group counts once, with its best score: vendors that copy each other are one
  witness. What differs from the first place in `stated` is another opinion. A row with an `out_reason` is no witness and
  gets no place; that reason is its own.
#}
{% macro decided_by_trust(candidates) -%}
with witnesses as (
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

statements as (
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
    from witnesses
    group by entity, key, field, stated
),

ranked as (
    select
        candidates.*,
        statements.n_agreeing,
        statements.best_rank,
        statements.support,
        row_number() over (
            partition by candidates.entity, candidates.key, candidates.field, candidates.out_reason
            order by
                statements.best_rank asc,
                statements.support desc,
                statements.stated asc,
                candidates.provider_rank asc,
                candidates.score desc,
                candidates.observed_at desc,
                candidates.provider asc,
                candidates.value asc,
                candidates.call_id asc
        ) as candidate_rank,
        first_value(statements.best_rank) over (
            partition by candidates.entity, candidates.key, candidates.field, candidates.out_reason
            order by statements.best_rank asc, statements.support desc, statements.stated asc
        ) as leading_rank,
        first_value(statements.stated) over (
            partition by candidates.entity, candidates.key, candidates.field, candidates.out_reason
            order by statements.best_rank asc, statements.support desc, statements.stated asc
        ) as leading_statement
    from {{ candidates }} as candidates
    left join statements
        on
            candidates.entity = statements.entity
            and candidates.key = statements.key
            and candidates.field = statements.field
            and candidates.stated = statements.stated
            and candidates.out_reason is null
)

select
    *,
    case when out_reason is null then cast(candidate_rank as integer) end as place,
    case
        when out_reason is not null then out_reason
        when candidate_rank > 1 and stated = leading_statement then 'agrees'
        when candidate_rank > 1 and best_rank > leading_rank then 'provider_rank'
        when candidate_rank > 1 then 'less_trusted'
        when first_party_value is null then 'won'
        when {{ comparable('field', 'first_party_value') }} = stated then 'same_as_first_party'
        when over_first_party = 'always' then 'won'
        when over_first_party = 'if_verified' and verification = 'valid' then 'won'
        when over_first_party = 'if_newer' and observed_at > first_party_updated_at then 'won'
        else 'first_party'
    end as reason
from ranked
{%- endmacro %}

{#
  One row per golden record that was given a value: per field what, by whom, how sure, when and for how much. A whole
  statement. `winners` names a CTE with the rows of enrichment_provenance that won.
#}
{% macro pivot_winners(winners, fields) -%}
select
    key as golden_id
    {%- for field in fields %},
    max(case when field = '{{ field }}' then value end) as {{ field }},
    max(case when field = '{{ field }}' then provider end) as {{ field }}_source,
    max(case when field = '{{ field }}' then confidence end) as {{ field }}_confidence,
    max(case when field = '{{ field }}' then verification end) as {{ field }}_verification,
    max(case when field = '{{ field }}' then verified_at end) as {{ field }}_verified_at,
    max(case when field = '{{ field }}' then observed_at end) as {{ field }}_observed_at,
    max(case when field = '{{ field }}' then cost_usd end) as {{ field }}_cost_usd
    {%- endfor %}
from {{ winners }}
group by key
{%- endmacro %}
