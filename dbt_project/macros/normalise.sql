{# What a value is once casing, punctuation and habits of typing are taken away. NULL where nothing usable is left. #}

{% macro clean_text(value) %}nullif(trim({{ value }}), ''){% endmacro %}

{# Lower case, no plus-tag; NULL where it is no address. A plus that begins it has no name before it and is no tag. #}
{% macro normalise_email(value) %}
{%- set address = 'lower(trim(' ~ value ~ '))' -%}
case
    when not {{ regex_matches(address, "[a-z0-9._%+''-]+@[a-z0-9-]+([.][a-z0-9-]+)*[.][a-z]{2,}") }} then null
    when {{ address }} like '+%' then {{ address }}
    else {{ regex_replace(address, '[+][^@]*@', '@') }}
end
{%- endmacro %}

{# E.164 where the country can be told: a +, a 00, or ten digits of North America. An extension is dropped. #}
{% macro normalise_phone(value) %}
{%- set number = regex_replace(regex_replace('lower(' ~ value ~ ')', ' *(x|ext[.]?) *[0-9]+ *$', ''), '[^0-9+]', '') -%}
case
    when {{ regex_matches(number, '[+][0-9]{8,15}') }} then {{ number }}
    when {{ regex_matches(number, '00[0-9]{8,15}') }} then '+' || substr({{ number }}, 3)
    when {{ regex_matches(number, '1[0-9]{10}') }} then '+' || {{ number }}
    when {{ regex_matches(number, '[0-9]{10}') }} then '+1' || {{ number }}
end
{%- endmacro %}

{# The host of a website without `www.`; NULL where there is none. #}
{% macro normalise_domain(value) %}
{%- set host = regex_replace(regex_replace('lower(trim(' ~ value ~ '))', '^(https?://)?(www[.])?', ''), '[/?#:].*$', '') -%}
case when {{ regex_matches(host, '[a-z0-9-]+([.][a-z0-9-]+)*[.][a-z]{2,}') }} then {{ host }} end
{%- endmacro %}

{# Letters and digits only, for comparing: "O'Brien" and "OBRIEN" are one. #}
{% macro name_key(value) %}
nullif({{ regex_replace('lower(' ~ value ~ ')', "[[:space:][:punct:]]", '') }}, '')
{%- endmacro %}

{# A company's name for comparing, its words kept apart; the legal form is taken off where the models know it. #}
{% macro company_words(value) %}
nullif(trim({{ regex_replace(regex_replace('lower(' ~ value ~ ')', "[.'']", ''), "[[:space:][:punct:]]+", ' ') }}), '')
{%- endmacro %}

{# "bob" and "BOB" become "Bob"; what somebody typed in mixed case stays. #}
{% macro proper_case(value) %}
case
    when {{ value }} = upper({{ value }}) or {{ value }} = lower({{ value }})
        then upper(substr({{ value }}, 1, 1)) || lower(substr({{ value }}, 2))
    else {{ value }}
end
{%- endmacro %}

{# "Ada King", "King, Ada" and "King" (a single word is a last name). #}
{% macro first_name_of(full_name) %}
case
    when {{ full_name }} like '%,%' then nullif(trim({{ regex_replace(full_name, '^[^,]*,', '') }}), '')
    when trim({{ full_name }}) like '% %' then {{ regex_replace('trim(' ~ full_name ~ ')', ' .*$', '') }}
end
{%- endmacro %}

{% macro last_name_of(full_name) %}
case
    when {{ full_name }} like '%,%' then nullif(trim({{ regex_replace(full_name, ',.*$', '') }}), '')
    else nullif({{ regex_replace('trim(' ~ full_name ~ ')', '^[^ ]+ +', '') }}, '')
end
{%- endmacro %}
