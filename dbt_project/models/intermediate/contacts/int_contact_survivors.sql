with members as (
    select
        m.golden_id,
        r.*,
        c.company_golden_id,
        count(*) over (partition by r.email) as n_with_email,
        count(*) over (partition by r.email, m.golden_id) as n_with_email_here
    from {{ ref('int_contact_members') }} as m
    inner join {{ ref('int_contact_records') }} as r on m.record_key = r.record_key
    left join {{ ref('int_company_members') }} as c on r.record_key = c.record_key
),

-- `penalty` comes before the source's priority. It keeps groups together: a name and a place are taken whole from one
-- record wherever any record has them whole.
candidates as (
    {% set fields = {
        'first_name': "case when last_name is null or length(first_key) = 1 then 2 when is_nickname then 1 else 0 end",
        'last_name': "case when first_name is null or length(first_key) = 1 then 2 when is_nickname then 1 else 0 end",
        'email': "case when is_free_domain then 1 else 0 end",
        'phone': "0",
        'job_title': "0",
        'linkedin_url': "0",
        'city': "case when country is null then 1 else 0 end",
        'country': "case when city is null then 1 else 0 end",
        'lifecycle_stage': "0",
        'company_golden_id': "0",
    } -%}
    {% for field, penalty in fields.items() -%}
    select
        golden_id,
        '{{ field }}' as field,
        {{ field }} as value,
        {{ penalty }} as penalty,
        record_key,
        source_system,
        updated_at
    from members
    where
        {{ field }} is not null
        {%- if field == 'email' %}
        -- An address that several people share is nobody's.
        and not is_shared_inbox
        and n_with_email = n_with_email_here
        {%- endif %}
    {% if not loop.last %}union all{% endif %}
    {% endfor -%}
),

prioritised as (
    select
        c.golden_id,
        c.field,
        c.value,
        c.record_key,
        c.updated_at,
        c.penalty * 1000 + coalesce(p.priority, 999) as priority
    from candidates as c
    left join {{ ref('source_priorities') }} as p on c.field = p.field and c.source_system = p.source_system
),

{{ survivors('prioritised') }}
