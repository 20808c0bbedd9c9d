{# What a value is once casing, punctuation and habits of typing are taken away. NULL where nothing usable is left. #}

{# Blanks that a copy from a page brings along become plain ones; characters without width are dropped. #}
{% macro clean_text(value) %}
{%- set blanks = '\u00a0\u2007\u202f\u3000' -%}
{%- set without_width = '\u00ad\u200b\u200c\u200d\u200e\u200f\u2060\ufeff' -%}
nullif(trim(case
    when {{ regex_matches(value, '[ -~]*') }} then {{ value }}
    else translate({{ value }}, '{{ blanks }}{{ without_width }}', '    ')
end), '')
{%- endmacro %}

{#
  Lower case, no plus-tag; NULL where it is no address. A plus that begins it has no name before it and is no tag. Of
  several addresses the first; of `Ada King <ada@mill.example>` and `mailto:` the address.
#}
{% macro normalise_email(value) %}
{%- set inside = regex_replace('lower(trim(' ~ value ~ '))', '^.*<|>.*$|^mailto:', '') -%}
{%- set address = regex_replace('trim(' ~ inside ~ ')', '[;, ].*$|[.]+$', '') -%}
case
    when not {{ regex_matches(address, "[a-z0-9._%+''-]+@[a-z0-9-]+([.][a-z0-9-]+)*[.][a-z]{2,}") }} then null
    when {{ address }} like '+%' then {{ address }}
    else {{ regex_replace(address, '[+][^@]*@', '@') }}
end
{%- endmacro %}

{# What an address is compared by: Gmail ignores dots in it and has two names. #}
{% macro email_key(email) %}
case
    when {{ email }} like '%@gmail.com' or {{ email }} like '%@googlemail.com'
        then replace({{ regex_replace(email, '@.*$', '') }}, '.', '') || '@gmail.com'
    else {{ email }}
end
{%- endmacro %}

{# The host of a website without `www.`; NULL where there is none. #}
{% macro normalise_domain(value) %}
{%- set host = regex_replace(regex_replace('lower(trim(' ~ value ~ '))', '^(https?://)?(www[.])?', ''), '[/?#:].*$', '') -%}
case when {{ regex_matches(host, '[a-z0-9-]+([.][a-z0-9-]+)*[.][a-z]{2,}') }} then {{ host }} end
{%- endmacro %}

{#
  A company's name for comparing, from its folded letters: its words kept apart, without what stands in brackets; what is written
  in several ways as several words is one. Legal forms are taken off where the models know them.
#}
{% macro company_words(folded) %}
{%- set plain = regex_replace(regex_replace(folded, "[(][^)]*[)]", ' '), "[.'']", '') -%}
{%- set spaced = "trim(" ~ regex_replace(plain, "[[:space:][:punct:]]+", ' ') ~ ")" -%}
nullif(replace(replace(replace({{ spaced }}, ' de cv', ' cv'), ' de rl', ' rl'), ' sp z oo', ' spzoo'), '')
{%- endmacro %}

{# "bob" and "BOB" become "Bob"; what somebody typed in mixed case stays. #}
{% macro proper_case(value) %}
case
    when {{ value }} = upper({{ value }}) or {{ value }} = lower({{ value }})
        then upper(substr({{ value }}, 1, 1)) || lower(substr({{ value }}, 2))
    else {{ value }}
end
{%- endmacro %}

{# The person's name in the address of a LinkedIn profile, however it was copied; NULL where it is none. #}
{% macro profile_key(value) %}
{%- set address = "lower(trim(" ~ value ~ "))" -%}
case
    when {{ address }} like '%linkedin.com/in/%'
        then nullif({{ regex_replace(regex_replace(address, '^.*linkedin[.]com/in/', ''), '[/?#].*$', '') }}, '')
end
{%- endmacro %}
