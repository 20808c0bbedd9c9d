{# Names of people, for comparing. What is shown stays as it was typed. #}

{#
  Lower case and in Latin letters: accents off (composed or decomposed), Cyrillic and Greek transliterated letter by letter and
  roughly, since spellings differ anyway; other scripts as they are. Upper case is listed too, so that it does not depend on a
  database's locale. Text that is plain already, which most is, takes the short way.
#}
{% macro fold_letters(value) %}
{%- set pairs = {
    'ß': 'ss', 'ж': 'zh', 'х': 'kh', 'ц': 'ts', 'ч': 'ch', 'ш': 'sh', 'ю': 'yu', 'я': 'ya',
} -%}
{%- set letters = [
    ('àáâãäåāăąǎæ', 'a'), ('çćĉċč', 'c'), ('ďđð', 'd'), ('èéêëēĕėęě', 'e'), ('ĝğġģ', 'g'), ('ĥħ', 'h'), ('ìíîïĩīĭįı', 'i'), ('ĵ', 'j'),
    ('ķ', 'k'), ('ĺļľŀł', 'l'), ('ñńņňŋ', 'n'), ('òóôõöøōŏőơœ', 'o'), ('ŕŗř', 'r'), ('śŝşšș', 's'), ('ţťŧțþ', 't'),
    ('ùúûüũūŭůűųư', 'u'), ('ŵ', 'w'), ('ýÿŷ', 'y'), ('źżž', 'z'),
    ('а', 'a'), ('б', 'b'), ('в', 'v'), ('гґ', 'g'), ('д', 'd'), ('еёэє', 'e'), ('з', 'z'), ('иійыї', 'i'), ('к', 'k'), ('л', 'l'), ('м', 'm'),
    ('н', 'n'), ('о', 'o'), ('п', 'p'), ('р', 'r'), ('с', 's'), ('щ', 's'), ('т', 't'), ('у', 'u'), ('ф', 'f'),
    ('αά', 'a'), ('β', 'v'), ('γ', 'g'), ('δ', 'd'), ('εέ', 'e'), ('ζ', 'z'), ('θ', 't'), ('χ', 'h'), ('ψ', 'p'), ('ηήιίϊΐυύϋ', 'i'), ('κ', 'k'), ('λ', 'l'), ('μ', 'm'),
    ('ν', 'n'), ('ξ', 'x'), ('οόωώ', 'o'), ('π', 'p'), ('ρ', 'r'), ('σς', 's'), ('τ', 't'), ('φ', 'f'),
] -%}
{#- Marks that follow a letter, hard and soft signs, and what apostrophes and dashes are typed as. -#}
{%- set dropped = '\u0300\u0301\u0302\u0303\u0304\u0306\u0307\u0308\u030a\u030b\u030c\u031b\u0323\u0326\u0327\u0328ьъЬЪ\u2018\u2019\u02bc\u02b9\u00b4\u2010\u2011\u2012\u2013\u2014\u00b7' -%}
{%- set from = namespace(upper='', lower='', letters='', bases='') -%}
{%- for letter in (pairs | join('')) ~ (letters | map('first') | join('')) if letter | upper | length == 1 and letter | upper not in 'IH' -%}
    {%- set from.upper = from.upper ~ letter | upper -%}
    {%- set from.lower = from.lower ~ letter -%}
{%- endfor -%}
{%- for variants, base in letters -%}
    {%- set from.letters = from.letters ~ variants -%}
    {%- set from.bases = from.bases ~ base * (variants | length) -%}
{%- endfor -%}
case
    when {{ regex_matches(value, '[ -~]*') }} then lower({{ value }})
    else translate({{ "replace(" * (pairs | length) }}
        translate(
            lower({{ value }}),
            '{{ from.upper }}',
            '{{ from.lower }}'
        ){% for letter, base in pairs.items() %}, '{{ letter }}', '{{ base }}'){% endfor %},
        '{{ from.letters }}{{ dropped }}',
        '{{ from.bases }}'
    )
end
{%- endmacro %}

{# Letters and digits only: "O'Brien" and "OBRIEN" are one, "José" and "Jose" too. NULL where nothing is left. #}
{% macro name_key(value) %}
nullif({{ regex_replace(fold_letters(value), "[[:space:][:punct:]]", '') }}, '')
{%- endmacro %}

{# "Mueller" and "Müller" become one: after folding, an e behind a, o or u is taken for an umlaut. Short names stay. #}
{% macro without_umlaut_e(key) %}
case
    when length({{ key }}) >= 5 then replace(replace(replace({{ key }}, 'ae', 'a'), 'oe', 'o'), 'ue', 'u')
    else {{ key }}
end
{%- endmacro %}

{# "Dr. Hans Weber" without what he is called by. #}
{% macro without_titles(full_name) %}
{{- regex_replace(full_name, '^ *((Dr|DR|dr|Mr|MR|mr|Mrs|MRS|mrs|Ms|MS|ms|Miss|Prof|prof|Sir|Herr|Frau|Mme|Mlle)([.] *| +))+', '') -}}
{% endmacro %}

{# Without what follows a name: Jr, III, PhD. #}
{% macro without_suffix(full_name) %}
{{- regex_replace(full_name, '[ ,]+(Jr|JR|jr|Sr|SR|sr|II|III|IV|PhD|Ph[.]D|MD|M[.]D|MBA|Esq|CPA)[.]? *$', '') -}}
{% endmacro %}

{# jr, sr, ii, iii or iv behind a name: it tells a father from a son. NULL where there is none. #}
{% macro generation(full_name) %}
{%- set text = "replace(replace(lower(trim(" ~ full_name ~ ")), '.', ''), ',', ' ')" -%}
case
    {%- for suffix in ['jr', 'sr', 'ii', 'iii', 'iv'] %}
    when {{ text }} like '% {{ suffix }}' then '{{ suffix }}'
    {%- endfor %}
end
{%- endmacro %}

{# "Ada King", "King, Ada" and "King" (a single word is a last name). Titles are left out. #}
{% macro first_name_of(full_name) %}
{%- set name = without_titles(without_suffix(full_name)) -%}
case
    when {{ name }} like '%,%' then nullif(trim({{ regex_replace(name, '^[^,]*,', '') }}), '')
    when trim({{ name }}) like '% %' then {{ regex_replace('trim(' ~ name ~ ')', ' .*$', '') }}
end
{%- endmacro %}

{# The rest, with what tells the generation, as a CRM has it in the last name. #}
{% macro last_name_of(full_name) %}
{%- set name = without_titles(without_suffix(full_name)) -%}
case
    when {{ name }} like '%,%' then nullif(trim({{ regex_replace(name, ',.*$', '') }}), '')
    else nullif({{ regex_replace('trim(' ~ name ~ ')', '^[^ ]+ +', '') }}, '')
end
|| coalesce(' ' || case {{ generation(full_name) }} when 'jr' then 'Jr' when 'sr' then 'Sr' else upper({{ generation(full_name) }}) end, '')
{%- endmacro %}
