with members as (
    select * from {{ ref('int_contact_members') }}
),

subscriptions as (
    select * from {{ ref('stg_billing__subscriptions') }}
    where subscription_status in ('active', 'past_due')
),

product_usage as (
    select * from {{ ref('stg_product__usage') }}
),

open_tickets as (
    select * from {{ ref('stg_support__tickets') }}
    where ticket_status <> 'solved'
),

ranked_plans as (
    select
        members.golden_id,
        subscriptions.plan_name,
        subscriptions.mrr_usd,
        row_number() over (
            partition by members.golden_id
            order by subscriptions.mrr_usd desc, subscriptions.subscription_id asc
        ) as plan_rank
    from members
    inner join subscriptions
        on members.record_id = subscriptions.customer_id and members.source_system = 'billing'
),

revenue as (
    select
        golden_id,
        max(case when plan_rank = 1 then plan_name end) as plan_name,
        sum(mrr_usd) as mrr_usd
    from ranked_plans
    group by golden_id
),

activity as (
    select
        members.golden_id,
        max(product_usage.last_event_at) as last_seen_at
    from members
    inner join product_usage
        on members.record_id = product_usage.user_id and members.source_system = 'product'
    group by members.golden_id
),

ticket_counts as (
    select
        members.golden_id,
        count(*) as n_open_tickets
    from members
    inner join open_tickets
        on members.record_id = open_tickets.requester_id and members.source_system = 'support'
    group by members.golden_id
),

contacts as (
    select
        golden_id,
        count(*) as n_records
    from members
    group by golden_id
),

final as (
    select
        contacts.golden_id,
        contacts.n_records,
        revenue.plan_name,
        revenue.mrr_usd,
        activity.last_seen_at,
        coalesce(ticket_counts.n_open_tickets, 0) as open_tickets
    from contacts
    left join revenue on contacts.golden_id = revenue.golden_id
    left join activity on contacts.golden_id = activity.golden_id
    left join ticket_counts on contacts.golden_id = ticket_counts.golden_id
)

select * from final
