-- The four systems as their exports look.

CREATE SCHEMA IF NOT EXISTS raw_crm;
CREATE SCHEMA IF NOT EXISTS raw_billing;
CREATE SCHEMA IF NOT EXISTS raw_product;
CREATE SCHEMA IF NOT EXISTS raw_support;

CREATE OR REPLACE TABLE raw_crm.companies AS
SELECT
    account_id AS company_id,
    name || CASE WHEN chance('suffix', key, 400) THEN ' ' || pick(getvariable('company_suffixes'), 'which suffix', key)
        ELSE '' END AS name,
    CASE roll('website', key) % 10
        WHEN 0 THEN NULL
        WHEN 1 THEN 'https://www.' || domain || '/'
        WHEN 2 THEN 'www.' || domain
        WHEN 3 THEN 'http://' || upper(left(domain, 1)) || substr(domain, 2) || '/about-us'
        ELSE domain
    END AS website,
    CASE WHEN chance('has industry', key, 600) THEN
        CASE roll('industry style', key) % 3 WHEN 0 THEN upper(industry) WHEN 1 THEN industry
            ELSE upper(left(industry, 1)) || substr(industry, 2) END END AS industry,
    CASE WHEN chance('has size', key, 450) THEN
        (employee_count + CASE WHEN changed_on > 0 THEN changed_on ELSE 0 END)::VARCHAR END AS employees,
    CASE WHEN chance('has founded', key, 300) THEN founded_year END AS founded_year,
    CASE WHEN chance('has linkedin', key, 300)
        THEN 'https://www.linkedin.com/company/' || replace(domain, '.example', '') END AS linkedin_url,
    CASE WHEN chance('has place', key, 700) THEN city END AS city,
    CASE WHEN chance('has place', key, 800) THEN country END AS country,
    created_at,
    CASE WHEN changed_on > 0 THEN day_start(changed_on) ELSE created_at END AS updated_at,
    day_start(getvariable('day')) AS loaded_at
FROM account;

CREATE OR REPLACE TABLE raw_crm.contacts AS
SELECT
    s.record_id AS contact_id, s.first_name, s.last_name, s.email, s.phone, s.job_title, s.linkedin_url, s.city,
    s.country,
    CASE WHEN chance('linked', s.key, 800) THEN a.account_id END AS company_id,
    s.company_name,
    ['Lead', 'Lead', 'MQL', 'SQL', 'Opportunity', 'Customer', 'Subscriber', NULL][1 + roll('stage', s.key) % 8]
        AS lifecycle_stage,
    s.created_at, s.updated_at, s.loaded_at
FROM said s
LEFT JOIN account a ON s.company_no = a.company_no AND a.copy = 1
WHERE s.system = 'crm';

CREATE OR REPLACE TABLE raw_billing.customers AS
SELECT
    record_id AS customer_id,
    CASE WHEN first_name IS NULL THEN last_name
        WHEN chance('last first', key, 200) THEN last_name || ', ' || first_name
        ELSE first_name || ' ' || last_name END AS name,
    email, phone, company_name, country, created_at, updated_at, loaded_at
FROM said WHERE system = 'billing';

CREATE OR REPLACE TABLE raw_billing.subscriptions AS
WITH plans AS (
    SELECT
        *,
        last_change('plan', key, 6) AS plan_day
    FROM said WHERE system = 'billing' AND chance('subscribed', key, 900)
)
SELECT
    'sub_' || substr(md5(record_id), 1, 16) AS subscription_id,
    record_id AS customer_id,
    ['Starter', 'Team', 'Business', 'Enterprise'][1 + (skewed('plan', key, 4, 1.4) + plan_day) % 4] AS plan,
    CASE WHEN chance('canceled', key, 120) THEN 'canceled' WHEN chance('canceled', key, 180) THEN 'past_due'
        ELSE 'active' END AS status,
    [4900, 19900, 79900, 249900][1 + (skewed('plan', key, 4, 1.4) + plan_day) % 4] AS mrr_cents,
    created_at AS started_at,
    CASE WHEN plan_day > 0 THEN day_start(plan_day) ELSE created_at END AS updated_at,
    loaded_at
FROM plans;

CREATE OR REPLACE TABLE raw_product.users AS
SELECT
    record_id AS user_id,
    CASE WHEN chance('display', key, 850) THEN concat_ws(' ', first_name, last_name) END AS display_name,
    email, CASE WHEN chance('workspace', key, 600) THEN company_name END AS workspace_name,
    created_at, updated_at, loaded_at
FROM said WHERE system = 'product';

CREATE OR REPLACE TABLE raw_product.usage AS
SELECT
    record_id AS user_id,
    date_trunc('day', last_event_at)::DATE AS day,
    1 + roll('events' || d, key) % 200 AS events,
    last_event_at,
    greatest(last_event_at, created_at) AS loaded_at
FROM (
    SELECT
        s.record_id, s.key, s.created_at, d,
        CASE WHEN d = 1 THEN day_start(1) - to_minutes((roll('seen', s.key) % 200000)::INTEGER)
            ELSE day_start(d) - to_minutes((1 + roll('seen' || d, s.key) % 1000)::INTEGER) END AS last_event_at
    FROM said s CROSS JOIN range(1, getvariable('day') + 1) r(d)
    WHERE s.system = 'product'
        AND (CASE WHEN d = 1 THEN chance('active', s.key, 800) ELSE chance('active' || d, s.key, 8) END)
)
WHERE last_event_at >= created_at;

CREATE OR REPLACE TABLE raw_support.requesters AS
SELECT
    record_id AS requester_id, concat_ws(' ', first_name, last_name) AS name, email, phone,
    company_name AS organization, created_at, updated_at, loaded_at
FROM said WHERE system = 'support';

CREATE OR REPLACE TABLE raw_support.tickets AS
WITH opened AS (
    SELECT s.*, d, n, s.key || ':' || d || ':' || n AS ticket_key
    FROM said s CROSS JOIN range(1, getvariable('day') + 1) r(d) CROSS JOIN range(1, 4) t(n)
    WHERE s.system = 'support'
        AND (CASE WHEN d = 1 THEN n <= 1 + roll('tickets', s.key) % 3
            ELSE n = 1 AND chance('ticket' || d, s.key, 8) END)
),
dated AS (
    SELECT
        *,
        CASE WHEN d > 1 THEN day_start(d) - to_minutes((1 + roll('opened', ticket_key) % 1000)::INTEGER)
            ELSE greatest(created_at, day_start(1) - to_minutes((roll('opened', ticket_key) % 300000)::INTEGER)) END
            AS opened_at,
        d = 1 AND chance('solved', ticket_key, 750) AS was_solved,
        last_change('solved later', ticket_key, 10) AS solved_day
    FROM opened
)
SELECT
    'tic_' || substr(md5(getvariable('seed') || ticket_key), 1, 16) AS ticket_id,
    record_id AS requester_id,
    pick(getvariable('subjects'), 'subject', ticket_key) AS subject,
    CASE WHEN was_solved OR solved_day > d THEN 'solved' ELSE ['open', 'pending'][1 + roll('status', ticket_key) % 2] END
        AS status,
    ['low', 'normal', 'high', 'urgent'][1 + roll('priority', ticket_key) % 4] AS priority,
    opened_at AS created_at,
    CASE WHEN NOT was_solved AND solved_day > d THEN day_start(solved_day) ELSE opened_at END AS updated_at,
    loaded_at
FROM dated;
