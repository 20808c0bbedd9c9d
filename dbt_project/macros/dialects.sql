{# What DuckDB, Snowflake and Postgres spell differently. Patterns avoid backslashes, which Snowflake's literals eat. #}

{% macro regex_replace(value, pattern, replacement) %}{{ return(adapter.dispatch('regex_replace')(value, pattern, replacement)) }}{% endmacro %}
{% macro default__regex_replace(value, pattern, replacement) %}regexp_replace({{ value }}, '{{ pattern }}', '{{ replacement }}', 'g'){% endmacro %}
{% macro snowflake__regex_replace(value, pattern, replacement) %}regexp_replace({{ value }}, '{{ pattern }}', '{{ replacement }}'){% endmacro %}

{# True where the whole value matches. #}
{% macro regex_matches(value, pattern) %}{{ return(adapter.dispatch('regex_matches')(value, pattern)) }}{% endmacro %}
{% macro default__regex_matches(value, pattern) %}{{ value }} ~ '^({{ pattern }})$'{% endmacro %}
{% macro duckdb__regex_matches(value, pattern) %}regexp_full_match({{ value }}, '{{ pattern }}'){% endmacro %}
{% macro snowflake__regex_matches(value, pattern) %}regexp_like({{ value }}, '{{ pattern }}'){% endmacro %}

{# NULL, not an error, where the text is no whole number. #}
{% macro to_integer(value) %}{{ return(adapter.dispatch('to_integer')(value)) }}{% endmacro %}
{% macro default__to_integer(value) %}try_cast({{ value }} as integer){% endmacro %}
{% macro postgres__to_integer(value) %}case when {{ value }} ~ '^ *-?[0-9]{1,9} *$' then cast({{ value }} as integer) end{% endmacro %}

{# Single-character edits between two strings. Postgres needs its extension fuzzystrmatch. #}
{% macro edit_distance(a, b) %}{{ return(adapter.dispatch('edit_distance')(a, b)) }}{% endmacro %}
{% macro default__edit_distance(a, b) %}levenshtein({{ a }}, {{ b }}){% endmacro %}
{% macro snowflake__edit_distance(a, b) %}editdistance({{ a }}, {{ b }}){% endmacro %}

{# The present moment in UTC, without a zone, as revetl's state tables hold it. #}
{% macro now_utc() %}{{ return(adapter.dispatch('now_utc')()) }}{% endmacro %}
{% macro default__now_utc() %}(now() at time zone 'UTC'){% endmacro %}
{% macro snowflake__now_utc() %}sysdate(){% endmacro %}
