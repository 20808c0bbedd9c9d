-- Nothing is lost or doubled between the sources and the golden records: the counts agree, record by record.
with records as (
    select * from {{ ref('int_contact_records') }}
),

members as (
    select * from {{ ref('golden_members') }}
    where entity = 'contact'
),

contacts as (
    select * from {{ ref('golden_contacts') }}
),

counted as (
    select
        records.record_key,
        count(members.golden_id) as n_members,
        count(contacts.golden_id) as n_contacts
    from records
    left join members on records.record_key = members.record_key
    left join contacts on members.golden_id = contacts.golden_id
    group by records.record_key
)

select * from counted
where n_members <> 1 or n_contacts <> 1
