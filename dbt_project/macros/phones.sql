{#
  Phone numbers as E.164, with no guess: a number says its country itself (+ or 00), or its record does; else it is none.
  The seed `calling_codes` says how a country writes its own numbers. `int_contact_phones` joins it twice: as `home`, the
  country of the record, and as `abroad`, the country that an international number names.
#}

{#
  The digits of what was typed, with a + before an international number; NULL where it can be no number. An extension is
  dropped, and so is the (0) that is dialled inside the country only.
#}
{% macro phone_digits(value) %}
{%- set number = regex_replace("lower(trim(" ~ value ~ "))", ' *(x|ext[.]?|extension) *[0-9]+ *$', '') -%}
{%- set number = "case when " ~ number ~ " like '+%' or " ~ number ~ " like '00%' then replace(" ~ number ~ ", '(0)', '')"
    ~ " else " ~ number ~ " end" -%}
{%- set digits = regex_replace(number, '[^0-9+]', '') -%}
case
    when {{ regex_matches(digits, '00[1-9][0-9]{5,14}') }} then '+' || substr({{ digits }}, 3)
    when {{ regex_matches(digits, '[+]?[0-9]{5,15}') }} then {{ digits }}
end
{%- endmacro %}

{# The calling code of an international number. No code begins another, so its first digits tell its length (ITU-T E.164). #}
{% macro calling_code(digits) %}
case
    when {{ digits }} not like '+%' then null
    when substr({{ digits }}, 2, 1) in ('1', '7') then substr({{ digits }}, 2, 1)
    when
        substr({{ digits }}, 2, 2) in (
            '20', '27', '30', '31', '32', '33', '34', '36', '39', '40', '41', '43', '44', '45', '46', '47', '48', '49',
            '51', '52', '53', '54', '55', '56', '57', '58', '60', '61', '62', '63', '64', '65', '66', '81', '82', '84',
            '86', '90', '91', '92', '93', '94', '95', '98'
        )
        then substr({{ digits }}, 2, 2)
    else substr({{ digits }}, 2, 3)
end
{%- endmacro %}

{#
  The national number inside an international one, without the trunk prefix that some write after the code. A 0 belongs
  to the number where the country has no trunk prefix, as in Italy.
#}
{% macro national_of_international(digits, calling_code, trunk_prefix) %}
case
    when {{ trunk_prefix }} = '0' and substr({{ digits }}, length({{ calling_code }}) + 2, 1) = '0'
        then substr({{ digits }}, length({{ calling_code }}) + 3)
    else substr({{ digits }}, length({{ calling_code }}) + 2)
end
{%- endmacro %}

{#
  The national number in what somebody typed in their own country: without the trunk prefix, or without the calling code
  where the + before it was lost. NULL where the length fits no number there, or where both readings fit.
  `home` has calling_code, trunk_prefix (never NULL), min_length and max_length.
#}
{% macro national_of_domestic(digits, home) %}
{%- set fits -%} length({{ digits }}) between {{ home }}.min_length and {{ home }}.max_length {%- endset -%}
{%- set has_code -%}
{{ digits }} like {{ home }}.calling_code || '%'
        and length({{ digits }}) - length({{ home }}.calling_code) between {{ home }}.min_length and {{ home }}.max_length
{%- endset -%}
case
    when
        {{ home }}.trunk_prefix <> ''
        and {{ digits }} like {{ home }}.trunk_prefix || '%'
        and length({{ digits }}) - length({{ home }}.trunk_prefix) between {{ home }}.min_length and {{ home }}.max_length
        and ({{ home }}.trunk_prefix = '0' or not {{ fits }})
        then substr({{ digits }}, length({{ home }}.trunk_prefix) + 1)
    when
        {{ has_code }}
        and ({{ home }}.trunk_prefix = '0' or not {{ fits }})
        then substr({{ digits }}, length({{ home }}.calling_code) + 1)
    when
        {{ fits }}
        and not ({{ has_code }})
        and not ({{ home }}.trunk_prefix = '0' and {{ digits }} like '0%')
        then {{ digits }}
end
{%- endmacro %}

{#
  What may be compared of a number whose country nobody tells: its digits without leading zeros, and without the 1 that is
  dialled before eleven digits in North America. Where this equals the national number of another record it is a hint, no more.
#}
{% macro national_of_unknown(digits) %}
case
    when length({{ digits }}) = 11 and {{ digits }} like '1%' then substr({{ digits }}, 2)
    else {{ regex_replace(digits, '^0+', '') }}
end
{%- endmacro %}

{# True for a number of one digit over and over, which fills a place. #}
{% macro is_one_digit(digits) %}replace({{ digits }}, substr({{ digits }}, 1, 1), '') = ''{% endmacro %}
