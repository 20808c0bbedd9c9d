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
-- record wherever any record has them whole.
candidates as (
    {% set penalties = {
        'first_name': "case when full_key is null then 2 when is_nickname then 1 else 0 end",
        'last_name': "case when full_key is null then 2 when is_nickname then 1 else 0 end",
        'email': "case when is_free_domain then 1 else 0 end",
        'phone': "0",
        'job_title': "0",
        'linkedin_url': "0",
        'city': "case when country is null then 1 else 0 end",
        'country': "case when city is null then 1 else 0 end",
        'lifecycle_stage': "0",
        'company_golden_id': "0",
    } -%}
    {% for field, penalty in penalties.items() -%}
    select
        golden_id,
        '{{ field }}' as field,
        {{ field }} as value,
        {{ penalty }} as penalty,
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

prioritised as (
    select
        candidates.golden_id,
        candidates.field,
        candidates.value,
        candidates.record_key,
        candidates.updated_at,
        candidates.penalty * 1000 + coalesce(source_priorities.priority, 999) as priority
    from candidates
    left join source_priorities
        on
            candidates.field = source_priorities.field
            and candidates.source_system = source_priorities.source_system

    union all

    {{ pinned_candidates('contact', 'members') }}
),

final as (
    {{ survivors('prioritised') }}
)

select * from final
