with contacts as (
    select * from {{ ref('enriched_contacts') }}
    where email is not null
),

ranked as (
    select
        *,
        -- HubSpot keeps one contact per address: an own address beats a bought one, then the better known person.
        row_number() over (
            partition by email
            order by case when email_source = 'golden' then 0 else 1 end asc, n_records desc, golden_id asc
        ) as email_rank
    from contacts
),

final as (
    select
        golden_id,
        -- Ties the contact to its company and is no property itself. A company without a domain is not in HubSpot.
        case when company_domain is not null then company_golden_id end as company_golden_id,
        email,
        first_name as firstname,
        last_name as lastname,
        job_title as jobtitle,
        phone,
        linkedin_url as hs_linkedin_url,
        city,
        country,
        company_name as company,
        case lifecycle_stage
            when 'mql' then 'marketingqualifiedlead'
            when 'sql' then 'salesqualifiedlead'
            else lifecycle_stage
        end as lifecyclestage,
        plan_name,
        open_tickets,
        last_seen_at
    from ranked
    where email_rank = 1
)

select * from final
