{# Comparable forms of text. Each gives null where nothing is left. #}

{# Words in lower case, without accents, one blank between them: `De La Cruz` → `de la cruz`. #}
{% macro words(column) -%}
nullif(trim(regexp_replace(lower(strip_accents({{ column }})), '[^a-z]+', ' ', 'g')), '')
{%- endmacro %}

{# The host of a web address without `www.`: `https://www.reed.senate.gov/x` → `reed.senate.gov`. #}
{% macro host(column) -%}
nullif(regexp_extract(lower({{ column }}), '^https?://(?:www\.)?([^/:?#]+)', 1), '')
{%- endmacro %}

{# A North American number in E.164, or null: `202-224-3441` → `+12022243441`. #}
{% macro e164(column) -%}
case
    when length(regexp_replace({{ column }}, '[^0-9]', '', 'g')) = 10
        then '+1' || regexp_replace({{ column }}, '[^0-9]', '', 'g')
end
{%- endmacro %}

{# The column where it is an address that mail can be sent to, otherwise null: a web form has no @ before its host. #}
{% macro email(column) -%}
case
    when regexp_full_match(trim({{ column }}), '[A-Za-z0-9._%+''-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}')
        then lower(trim({{ column }}))
end
{%- endmacro %}

{# The column where it is a web address, otherwise null. #}
{% macro web_address(column) -%}
case when lower(trim({{ column }})) similar to 'https?://.+' then trim({{ column }}) end
{%- endmacro %}

{# City, state and zip at the end of an address, empty where it has no such end: `…, Juneau, AK 99801`. #}
{% macro address_end(column) -%}
regexp_extract(
    {{ column }}, '([^,;]+?),?\s+([A-Z]{2}),?\s+(\d{5})(?:-\d{4})?\s*$', ['city', 'state', 'zip']
)
{%- endmacro %}
