-- What each record says, with the troubles of real data.

CREATE OR REPLACE TEMP TABLE said AS
WITH chosen AS (
    SELECT
        r.*,
        c.domain, c.switchboard, c.name AS company_name,
        roll('mail kind', key) // 1000 AS mail_roll,
        CASE system WHEN 'crm' THEN 150 WHEN 'billing' THEN 30 WHEN 'support' THEN 40 ELSE 0 END AS mail_missing,
        CASE system WHEN 'crm' THEN 20 WHEN 'billing' THEN 120 WHEN 'support' THEN 30 ELSE 4 END AS mail_shared,
        CASE system WHEN 'crm' THEN 25 WHEN 'billing' THEN 30 WHEN 'support' THEN 50 ELSE 110 END AS mail_personal,
        CASE WHEN len(nicknames) > 0 AND chance('nickname', key, 220)
            THEN pick(nicknames, 'which nickname', key) ELSE first_name END AS called,
        CASE WHEN chance('name typo', key, 15) THEN typo(last_name, 'name typo at', key) ELSE last_name END AS family
    FROM record r JOIN company c USING (company_no)
),
mailed AS (
    SELECT
        *,
        CASE
            WHEN is_role THEN 'billing@' || domain
            WHEN mail_roll < mail_missing THEN NULL
            WHEN mail_roll < mail_missing + mail_shared THEN
                CASE system WHEN 'billing' THEN ['billing', 'accounts', 'finance', 'office'][1 + roll('inbox', key) % 4]
                    ELSE pick(getvariable('inboxes'), 'inbox', key) END || '@' || domain
            WHEN mail_roll < mail_missing + mail_shared + mail_personal THEN personal_email
            WHEN chance('mail typo', key, 10) THEN typo(mail_local, 'mail typo at', key) || '@' || domain
            WHEN chance('plus', key, 45) THEN
                mail_local || '+' || ['trial', 'test', 'newsletter', 'app'][1 + roll('tag', key) % 4] || '@' || domain
            ELSE mail_local || '@' || domain
        END AS mail
    FROM chosen
)
SELECT
    system, object, key, record_id, person_id, person_no, company_no, stale, is_role, created_at, changed_on,
    CASE
        WHEN chance('no mail', key, 4) THEN ['n/a', 'unknown', 'http://' || domain || '/contact', '-'][1 + roll('junk', key) % 4]
        WHEN chance('mail case', key, 60) THEN upper(mail)
        WHEN chance('mail case', key, 150) THEN upper(left(mail, 1)) || substr(mail, 2)
        WHEN chance('mail case', key, 170) THEN ' ' || mail || ' '
        ELSE mail
    END AS email,
    CASE
        WHEN is_role THEN NULL
        WHEN chance('no first', key, 25) THEN NULL
        WHEN chance('initial', key, 12) THEN left(first_name, 1) || '.'
        WHEN chance('name case', key, 60) THEN upper(called)
        WHEN chance('name case', key, 120) THEN lower(called)
        ELSE called
    END AS first_name,
    CASE
        WHEN is_role THEN 'Accounts Payable'
        WHEN chance('name case', key, 60) THEN upper(family)
        WHEN chance('name case', key, 120) THEN lower(family)
        ELSE family
    END AS last_name,
    phone_typed(CASE
        WHEN is_role OR chance('phone kind', key, 150) THEN switchboard
        WHEN chance('phone kind', key, CASE system WHEN 'crm' THEN 750 WHEN 'product' THEN 250 ELSE 550 END) THEN phone
    END, 'phone typed', key) AS phone,
    -- Titles go stale: a record keeps the one it was given unless its person changed jobs while we looked.
    CASE WHEN chance('no title', key, 300) THEN NULL WHEN chance('title case', key, 80) THEN upper(job_title)
        ELSE job_title END AS job_title,
    CASE WHEN chance('linkedin', key, 350) THEN linkedin_url END AS linkedin_url,
    CASE WHEN chance('place', key, 550) THEN city END AS city,
    CASE WHEN chance('place', key, 700) THEN country END AS country,
    CASE WHEN chance('no company', key, 120) THEN NULL
        ELSE (CASE WHEN chance('company case', key, 60) THEN upper(company_name)
                WHEN chance('company case', key, 100) THEN lower(company_name) ELSE company_name END)
            || CASE WHEN chance('suffix', key, 400)
                THEN CASE WHEN chance('comma', key, 300) THEN ', ' ELSE ' ' END
                    || pick(getvariable('company_suffixes'), 'which suffix', key) ELSE '' END
    END AS company_name,
    CASE WHEN changed_on > 0 THEN day_start(changed_on)
        ELSE created_at + to_minutes((date_diff('minute', created_at, day_start(1)) * (roll('touched', key) / 1e6)
            * (CASE WHEN created_at < day_start(1) THEN 1 ELSE 0 END) * (CASE WHEN stale THEN 0.2 ELSE 1 END))::INTEGER)
    END AS updated_at,
    day_start(getvariable('day')) AS loaded_at
FROM mailed;

CREATE OR REPLACE TEMP TABLE account AS
WITH copies AS (
    SELECT c.*, copy, 'company:' || company_no || ':' || copy AS key
    FROM company c CROSS JOIN range(1, 3) r(copy)
    WHERE copy = 1 OR chance('account twice', company_no, 50)
)
SELECT
    *,
    'acc_' || substr(md5(getvariable('seed') || key), 1, 16) AS account_id,
    last_change('account', key, 3) AS changed_on,
    day_start(1) - to_minutes((3000 + roll('made', key) % 2500000)::INTEGER) AS created_at
FROM copies
WHERE company_no IN (SELECT company_no FROM said WHERE system = 'crm' OR copy = 1);

-- A role address belongs to nobody in particular: no person stands behind it.
CREATE OR REPLACE TEMP TABLE truth_members AS
SELECT s.system, s.object, s.record_id, CASE WHEN s.is_role THEN NULL ELSE s.person_id END AS person_id, c.company_id
FROM said s JOIN company c USING (company_no)
UNION ALL
SELECT 'crm', 'companies', account_id, NULL, company_id FROM account;
