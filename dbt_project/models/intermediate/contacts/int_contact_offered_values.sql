with members as (
    select * from {{ ref('int_contact_members') }}
),

records as (
    select * from {{ ref('int_contact_records') }}
),

companies as (
    select * from {{ ref('int_company_members') }}
),

source_priorities as (
    select * from {{ ref('source_priorities') }}
),

member_records as (
    select
        members.golden_id,
        records.*,
        companies.company_golden_id,
        count(*) over (partition by records.email) as n_with_email,
        count(*) over (partition by records.email, members.golden_id) as n_with_email_here
    from members
    inner join records on members.record_key = records.record_key
    left join companies on records.record_key = companies.record_key
),

-- `penalty` comes before the source's priority. It keeps groups together: a name and a place are taken whole from one
-- record wherever any record has them whole. `agreement_key` is equal where two records say the same.
candidates as (
    {% set name_penalty = "case when full_key is null then 2 when is_nickname then 1 else 0 end" -%}
    {% set place_key = "lower(coalesce(city, '') || '|' || coalesce(country, ''))" -%}
    {% set fields = {
        'first_name': (name_penalty, "coalesce(full_key, last_key, first_key)"),
        'last_name': (name_penalty, "coalesce(full_key, last_key, first_key)"),
        'email': ("case when is_free_domain then 1 else 0 end", "email_key"),
        'phone': ("0", "phone"),
        'job_title': ("0", "lower(job_title)"),
        'linkedin_url': ("0", "profile_key"),
        'city': ("case when country is null then 1 else 0 end", place_key),
        'country': ("case when city is null then 1 else 0 end", place_key),
        'lifecycle_stage': ("0", "lifecycle_stage"),
        'company_golden_id': ("0", "company_golden_id"),
    } -%}
    {% for field, (penalty, agreement_key) in fields.items() -%}
    select
        golden_id,
        '{{ field }}' as field,
        {{ field }} as value,
        {{ penalty }} as penalty,
        {{ agreement_key }} as agreement_key,
        record_key,
        source_system,
        updated_at
    from member_records
    where
        {{ field }} is not null
        {% if field == 'email' -%}
        -- An address that several people share is nobody's.
        and not is_shared_inbox
        and n_with_email = n_with_email_here
        {% endif -%}
    {% if not loop.last -%}
    union all
    {% endif -%}
    {% endfor -%}
),

counted as (
    select
        *,
        count(*) over (partition by golden_id, field, penalty, agreement_key) as n_agreeing
    from candidates
),

-- A typo in the favoured system does not beat records that agree.
voted as (
    select
        *,
        case
            when
                field in ('first_name', 'last_name', 'phone', 'linkedin_url', 'city', 'country')
                and max(n_agreeing) over (partition by golden_id, field, penalty) - n_agreeing
                >= {{ var('records_that_outvote') }}
                then 1
            else 0
        end as outvoted
    from counted
),

prioritised as (
    select
        voted.golden_id,
        voted.field,
        voted.value,
        voted.record_key,
        voted.updated_at,
        voted.penalty,
        voted.outvoted,
        coalesce(source_priorities.priority, 999) as priority
    from voted
    left join source_priorities
        on
            voted.field = source_priorities.field
            and voted.source_system = source_priorities.source_system

    union all

    {{ pinned_candidates('contact', 'members') }}
),

final as (
    {{ ranked_values('prioritised') }}
)

select * from final
