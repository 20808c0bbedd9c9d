with members as (
    select * from {{ ref('int_contact_members') }}
),

subscriptions as (
    select
        m.golden_id,
        s.plan_name,
        s.mrr_usd,
        row_number() over (partition by m.golden_id order by s.mrr_usd desc, s.subscription_id asc) as plan_rank
    from members as m
    inner join {{ ref('stg_billing__subscriptions') }} as s
        on m.record_id = s.customer_id and m.source_system = 'billing'
    where s.subscription_status in ('active', 'past_due')
),

billed as (
    select
        golden_id,
        max(case when plan_rank = 1 then plan_name end) as plan_name,
        sum(mrr_usd) as mrr_usd
    from subscriptions
    group by golden_id
),

seen as (
    select
        m.golden_id,
        max(u.last_event_at) as last_seen_at
    from members as m
    inner join {{ ref('stg_product__usage') }} as u on m.record_id = u.user_id and m.source_system = 'product'
    group by m.golden_id
),

asked as (
    select
        m.golden_id,
        count(*) as open_tickets
    from members as m
    inner join {{ ref('stg_support__tickets') }} as t on m.record_id = t.requester_id and m.source_system = 'support'
    where t.ticket_status <> 'solved'
    group by m.golden_id
),

contacts as (
    select
        golden_id,
        count(*) as n_records
    from members
    group by golden_id
)

select
    c.golden_id,
    c.n_records,
    b.plan_name,
    b.mrr_usd,
    s.last_seen_at,
    coalesce(a.open_tickets, 0) as open_tickets
from contacts as c
left join billed as b on c.golden_id = b.golden_id
left join seen as s on c.golden_id = s.golden_id
left join asked as a on c.golden_id = a.golden_id
