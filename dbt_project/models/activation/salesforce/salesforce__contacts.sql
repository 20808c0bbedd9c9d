with contacts as (
    select * from {{ ref('hubspot__contacts') }}
    -- Salesforce takes no contact without one.
    where lastname is not null
),

companies as (
    select golden_id from {{ ref('salesforce__accounts') }}
),

final as (
    select
        contacts.golden_id,
        contacts.golden_id as "ExternalId__c",
        companies.golden_id as "AccountId",
        contacts.email as "Email",
        contacts.firstname as "FirstName",
        contacts.lastname as "LastName",
        contacts.jobtitle as "Title",
        contacts.phone as "Phone"
    from contacts
    left join companies on contacts.company_golden_id = companies.golden_id
)

select * from final
