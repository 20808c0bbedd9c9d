{# What DuckDB, Snowflake and Postgres spell differently. Patterns avoid backslashes, which Snowflake's literals eat. #}

{% macro regex_replace(value, pattern, replacement) %}{{ return(adapter.dispatch('regex_replace')(value, pattern, replacement)) }}{% endmacro %}
{% macro default__regex_replace(value, pattern, replacement) %}regexp_replace({{ value }}, '{{ pattern }}', '{{ replacement }}', 'g'){% endmacro %}
{% macro snowflake__regex_replace(value, pattern, replacement) %}regexp_replace({{ value }}, '{{ pattern }}', '{{ replacement }}'){% endmacro %}

{# True where the whole value matches. #}
{% macro regex_matches(value, pattern) %}{{ return(adapter.dispatch('regex_matches')(value, pattern)) }}{% endmacro %}
{% macro default__regex_matches(value, pattern) %}{{ value }} ~ '^({{ pattern }})$'{% endmacro %}
{% macro duckdb__regex_matches(value, pattern) %}regexp_full_match({{ value }}, '{{ pattern }}'){% endmacro %}
{% macro snowflake__regex_matches(value, pattern) %}regexp_like({{ value }}, '{{ pattern }}'){% endmacro %}

{# NULL, not an error, where the text is no whole number. By its digits, since TRY_CAST rounds 12.7 and reads 1_000. #}
{% macro to_integer(value) %}case when {{ regex_matches(value, ' *-?[0-9]{1,9} *') }} then cast({{ value }} as integer) end{% endmacro %}

{# Single-character edits between two strings. #}
{% macro edit_distance(left_text, right_text) %}{{ return(adapter.dispatch('edit_distance')(left_text, right_text)) }}{% endmacro %}
{% macro default__edit_distance(left_text, right_text) %}levenshtein({{ left_text }}, {{ right_text }}){% endmacro %}
{% macro snowflake__edit_distance(left_text, right_text) %}editdistance({{ left_text }}, {{ right_text }}){% endmacro %}
{% macro postgres__edit_distance(left_text, right_text) %}{{ target.schema }}.revetl_edit_distance({{ left_text }}, {{ right_text }}){% endmacro %}

{# Functions that a warehouse lacks, made before a run. Postgres has the distance only in an extension, which not every
   server has or lets its users create. #}
{% macro create_functions() %}{{ return(adapter.dispatch('create_functions')()) }}{% endmacro %}
{% macro default__create_functions() %}{% endmacro %}
{% macro postgres__create_functions() %}
create or replace function {{ target.schema }}.revetl_edit_distance(a text, b text) returns integer
language plpgsql immutable strict parallel safe as $$
declare
    width integer := length(b);
    above integer[] := array(select generate_series(0, length(b)));
    line integer[];
begin
    for i in 1 .. length(a) loop
        line := array[i];
        for j in 1 .. width loop
            line[j + 1] := least(
                line[j] + 1,
                above[j + 1] + 1,
                above[j] + case when substr(a, i, 1) = substr(b, j, 1) then 0 else 1 end
            );
        end loop;
        above := line;
    end loop;
    return above[width + 1];
end
$$
{% endmacro %}

{# The present moment in UTC, without a zone, as revetl's state tables hold it. #}
{% macro now_utc() %}{{ return(adapter.dispatch('now_utc')()) }}{% endmacro %}
{% macro default__now_utc() %}(now() at time zone 'UTC'){% endmacro %}
{% macro snowflake__now_utc() %}sysdate(){% endmacro %}

{# How a model's joins are planned, set before it is built. Postgres has no statistics of a table that was just made, nor of
   a CTE that is read twice: it takes thousands of rows for a few, and compares each with each. #}
{% macro join_by_hash() %}{{ return(adapter.dispatch('join_by_hash')()) }}{% endmacro %}
{% macro default__join_by_hash() %}{% endmacro %}
{% macro postgres__join_by_hash() %}set local enable_nestloop = off{% endmacro %}
