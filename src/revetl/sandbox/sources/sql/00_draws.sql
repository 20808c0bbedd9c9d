-- Draws that depend on nothing but (seed, salt, key). MD5 because its results are the same in every version.

-- 0 … 999999
CREATE OR REPLACE TEMP MACRO roll(salt, key) AS
    (md5_number_lower(concat(getvariable('seed'), '|', salt, '|', key)) % 1000000)::INTEGER;

CREATE OR REPLACE TEMP MACRO chance(salt, key, per_mille) AS roll(salt, key) < per_mille * 1000;

CREATE OR REPLACE TEMP MACRO pick(list, salt, key) AS list[1 + roll(salt, key) % len(list)];

-- A number in 0 … n-1; small numbers come more often as `skew` rises above 1.
CREATE OR REPLACE TEMP MACRO skewed(salt, key, n, skew) AS
    least(n - 1, floor(n * pow(roll(salt, key) / 1e6, skew))::BIGINT);

-- The last day, 2 or later, on which something with this chance befell the key; 0 for never.
CREATE OR REPLACE TEMP MACRO last_change(salt, key, per_mille) AS
    coalesce(list_max(list_filter(range(2, getvariable('day') + 1), lambda d: chance(salt || d, key, per_mille))), 0);

CREATE OR REPLACE TEMP MACRO day_start(d) AS TIMESTAMP '2026-03-02 06:00:00' + to_days((d - 1)::INTEGER);

-- Two neighbouring letters change places, past the first letter.
CREATE OR REPLACE TEMP MACRO typo(word, salt, key) AS
    CASE WHEN length(word) < 4 THEN word || right(word, 1)
    ELSE left(word, 1 + roll(salt, key) % (length(word) - 3))
        || substr(word, 3 + roll(salt, key) % (length(word) - 3), 1)
        || substr(word, 2 + roll(salt, key) % (length(word) - 3), 1)
        || substr(word, 4 + roll(salt, key) % (length(word) - 3)) END;

CREATE OR REPLACE TEMP MACRO phone_e164(code, area, rest) AS
    '+' || code || lpad(area::VARCHAR, 3, '0') || '555' || lpad(rest::VARCHAR, 4, '0');

-- How people type a number: E.164, 00 prefix, punctuation, an extension, or national where the code is 1.
CREATE OR REPLACE TEMP MACRO phone_typed(e164, salt, key) AS
    CASE
        WHEN e164 IS NULL THEN NULL
        WHEN roll(salt, key) % 10 < 3 THEN e164
        WHEN e164 LIKE '+1%' THEN CASE roll(salt, key) % 5
            WHEN 0 THEN '(' || substr(e164, 3, 3) || ') ' || substr(e164, 6, 3) || '-' || substr(e164, 9)
            WHEN 1 THEN substr(e164, 3, 3) || '.' || substr(e164, 6, 3) || '.' || substr(e164, 9)
            WHEN 2 THEN '1-' || substr(e164, 3, 3) || '-' || substr(e164, 6, 3) || '-' || substr(e164, 9)
            WHEN 3 THEN substr(e164, 3) || ' ext. 1' || roll(salt, key) % 10
            ELSE '+1 ' || substr(e164, 3, 3) || ' ' || substr(e164, 6) END
        ELSE CASE roll(salt, key) % 3
            WHEN 0 THEN '00' || substr(e164, 2)
            WHEN 1 THEN left(e164, 3) || ' ' || substr(e164, 4, 4) || ' ' || substr(e164, 8)
            ELSE e164 || ' x' || roll(salt, key) % 90 END
    END;
