-- Which system knows whom, how often. One row per contact-like source record.

CREATE OR REPLACE TEMP TABLE placed AS
WITH systems(system, object, prefix, known, twice) AS (
    -- known and twice: how many in a thousand people are in the system, and of them how many have a duplicate
    VALUES
        ('crm', 'contacts', 'con_', 850, 60),
        ('billing', 'customers', 'cus_', 280, 20),
        ('product', 'users', 'usr_', 600, 40),
        ('support', 'requesters', 'req_', 350, 30)
),
copies AS (
    SELECT s.*, p.person_no, p.arrived_on, copy, s.system || ':' || p.person_no || ':' || copy AS key
    FROM person p
    CROSS JOIN systems s
    CROSS JOIN range(1, 3) c(copy)
    WHERE chance('known ' || s.system, p.person_no, s.known)
        AND (copy = 1 OR chance('twice ' || s.system, p.person_no, s.twice))
),
-- `n_records` is exact on the first day: whoever comes after the last one never existed.
numbered AS (
    SELECT *, row_number() OVER (ORDER BY arrived_on, person_no, system, copy) AS record_no
    FROM copies
    WHERE arrived_on = 1
),
kept AS (
    SELECT * EXCLUDE (record_no) FROM numbered WHERE record_no <= getvariable('n_records')
    UNION ALL
    SELECT * FROM copies WHERE arrived_on > 1
)
SELECT
    system, object, person_no, arrived_on, copy, key,
    prefix || substr(md5(getvariable('seed') || key), 1, 16) AS record_id,
    last_change('gone', key, 1) > 0 AS gone
FROM kept;

-- What a record says is decided once, on the day it was made; only what the person changed since comes on top.
CREATE OR REPLACE TEMP TABLE record AS
SELECT
    r.system, r.object, r.key, r.record_id, r.person_no, r.copy,
    p.person_id, p.first_name, p.last_name, p.personal_email, p.job_title, p.linkedin_url, p.city, p.country,
    p.mail_local, p.title_day,
    getvariable('nicknames')[p.first_no] AS nicknames,
    -- A record made before its person moved still names the old company.
    CASE WHEN p.old_company_no IS NOT NULL AND chance('stale', r.key, 450)
        THEN p.old_company_no ELSE p.company_no END AS company_no,
    p.old_company_no IS NOT NULL AND chance('stale', r.key, 450) AS stale,
    -- Only the CRM hears of a new number.
    CASE WHEN r.system = 'crm' THEN p.phone ELSE p.first_phone END AS phone,
    CASE WHEN r.system = 'crm' THEN greatest(p.title_day, p.phone_day) ELSE 0 END AS changed_on,
    CASE WHEN r.arrived_on > 1 THEN day_start(r.arrived_on) - to_minutes(5 + roll('made', r.key) % 1200)
        ELSE day_start(1) - to_minutes((2000 + roll('made', r.key) % 2000000)::INTEGER) END AS created_at,
    r.system = 'billing' AND r.copy = 1 AND chance('role', r.key, 25) AS is_role
FROM placed r JOIN person p USING (person_no)
WHERE NOT r.gone;

CREATE OR REPLACE TEMP TABLE truth_people AS
SELECT person_id, first_name, last_name, email, phone, job_title, seniority, linkedin_url, city, country, company_id
FROM person
WHERE person_no IN (SELECT person_no FROM placed);

CREATE OR REPLACE TEMP TABLE truth_companies AS
SELECT
    company_id, name, domain, industry, employee_count, founded_year,
    'https://www.linkedin.com/company/' || replace(domain, '.example', '') AS linkedin_url,
    city, country
FROM company;
