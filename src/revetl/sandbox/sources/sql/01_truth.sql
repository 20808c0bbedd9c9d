-- Who exists: companies and people as they are today.

CREATE OR REPLACE TEMP TABLE company AS
WITH numbered AS (
    SELECT
        n AS company_no,
        -- The words of a name are the digits of a permuted number, so names are unique.
        (n * 7919 + 13) % (len(getvariable('company_starts')) * len(getvariable('company_ends'))) AS two_words,
        n // (len(getvariable('company_starts')) * len(getvariable('company_ends'))) AS cycle
    FROM range(getvariable('n_companies')) r(n)
),
named AS (
    SELECT
        company_no,
        getvariable('company_starts')[1 + two_words % len(getvariable('company_starts'))]
            || getvariable('company_ends')[1 + two_words // len(getvariable('company_starts'))]
            || ' ' || getvariable('company_kinds')[
                1 + (roll('kind', two_words) + cycle) % len(getvariable('company_kinds'))]
            || CASE WHEN cycle >= len(getvariable('company_kinds')) THEN ' ' || cycle ELSE '' END AS name,
        1 + roll('city', company_no) % len(getvariable('cities')) AS city_no
    FROM numbered
)
SELECT
    company_no,
    'C' || lpad(company_no::VARCHAR, 7, '0') AS company_id,
    name,
    lower(replace(name, ' ', CASE WHEN chance('dash', company_no, 250) THEN '-' ELSE '' END)) || '.example' AS domain,
    pick(getvariable('industries'), 'industry', company_no) AS industry,
    (5 + pow(10, 1 + 3.2 * pow(roll('size', company_no) / 1e6, 1.6)))::INTEGER AS employee_count,
    1960 + roll('founded', company_no) % 64 AS founded_year,
    getvariable('cities')[city_no] AS city,
    getvariable('countries')[city_no] AS country,
    getvariable('calling_codes')[city_no] AS calling_code,
    phone_e164(getvariable('calling_codes')[city_no], 990 + company_no // 10000 % 10, company_no % 10000) AS switchboard
FROM named;

-- People who arrive on later days are numbered after the first ones, so nobody's identity moves.
CREATE OR REPLACE TEMP TABLE person AS
WITH numbered AS (
    SELECT
        p AS person_no,
        CASE WHEN p < getvariable('n_people') THEN 1
            ELSE 2 + (p - getvariable('n_people')) // (1 + getvariable('n_people') // 500) END AS arrived_on,
        1 + skewed('first', p, len(getvariable('first_names')), 1.3) AS first_no,
        getvariable('last_names')[1 + skewed('last', p, len(getvariable('last_names')), 1.5)] AS last_name,
        skewed('company', p, getvariable('n_companies'), 1.3) AS company_no,
        last_change('new title', p, 4) AS title_day,
        last_change('new phone', p, 2) AS phone_day
    FROM range(
        getvariable('n_people') + (getvariable('day') - 1) * (1 + getvariable('n_people') // 500)
    ) r(p)
),
described AS (
    SELECT
        *,
        getvariable('first_names')[first_no] AS first_name,
        1 + roll('title' || title_day, person_no) % len(getvariable('titles')) AS title_no,
        CASE WHEN chance('moved', person_no, 45)
            THEN skewed('old company', person_no, getvariable('n_companies'), 1.3) END AS old_company_no
    FROM numbered
),
addressed AS (
    SELECT
        d.*,
        c.company_id, c.domain, c.city, c.country, c.calling_code,
        lower(CASE
            WHEN chance('mail style', d.person_no, 650) THEN first_name || '.' || last_name
            WHEN chance('mail style', d.person_no, 850) THEN left(first_name, 1) || last_name
            ELSE first_name || '_' || last_name END) AS mail_local
    FROM described d JOIN company c USING (company_no)
),
-- A second John Smith at one company gets a number, as mail administrators do.
counted AS (
    SELECT *, row_number() OVER (PARTITION BY company_no, mail_local ORDER BY person_no) AS namesake FROM addressed
)
SELECT
    person_no, arrived_on, first_no, first_name, last_name, company_no, old_company_no, title_day, phone_day,
    'P' || lpad(person_no::VARCHAR, 8, '0') AS person_id,
    mail_local || CASE WHEN namesake > 1 THEN namesake::VARCHAR ELSE '' END AS mail_local,
    mail_local || CASE WHEN namesake > 1 THEN namesake::VARCHAR ELSE '' END || '@' || domain AS email,
    lower(first_name || '.' || last_name) || person_no || '@'
        || pick(getvariable('free_domains'), 'free', person_no) AS personal_email,
    -- 78 area codes × 9,999 numbers are told apart per calling code before a number comes twice.
    phone_e164(calling_code, 200 + (person_no // 9999 + phone_day) % 780, 1 + (person_no + phone_day * 37) % 9999) AS phone,
    phone_e164(calling_code, 200 + person_no // 9999 % 780, 1 + person_no % 9999) AS first_phone,
    getvariable('titles')[title_no] AS job_title,
    getvariable('seniorities')[title_no] AS seniority,
    'https://www.linkedin.com/in/' || lower(first_name || '-' || last_name) || '-' || person_no AS linkedin_url,
    city, country, company_id
FROM counted;
