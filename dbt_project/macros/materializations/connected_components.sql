{#
  A table (node, component): the connected components of the graph whose edges the model's SELECT returns in its first
  two columns, `left_key` and `right_key` (text). A node without an edge is given as an edge to itself. `component` is the
  smallest node of the component, so it does not depend on the order of rows.

  Borůvka contraction, the deterministic form. In a round every node that still has an edge points at its smallest
  neighbour; of two nodes that point at each other the smaller becomes a root (longer cycles cannot arise: two steps never
  lead to a larger node); pointers are doubled until they reach the roots; then each edge is replaced by one between
  roots. At least half of the nodes with edges vanish in a round, so there are O(log n) rounds whatever the shape of
  the graph. It is the same few statements everywhere, so a loop drives them from here.
#}
{% materialization connected_components, default %}
  {%- set target_relation = this.incorporate(type='table') -%}
  {%- set existing = load_cached_relation(this) -%}
  {%- set name = this.identifier -%}
  {%- set edges, nodes, labels, hooks, next = name ~ '__edges', name ~ '__nodes', name ~ '__labels', name ~ '__hooks', name ~ '__next' -%}

  {{ run_hooks(pre_hooks, inside_transaction=False) }}
  {{ run_hooks(pre_hooks, inside_transaction=True) }}

  {# Numbers instead of text: smaller and faster, and in the order of the keys. #}
  {% do replace_temp(name ~ '__pairs', 'select left_key, right_key from (' ~ sql ~ ') as model_edges') %}
  {% do replace_temp(nodes,
      'select k as node_key, row_number() over (order by k) as node from (select left_key as k from ' ~ name ~ '__pairs'
      ~ ' union select right_key as k from ' ~ name ~ '__pairs) as keys') %}
  {% do replace_temp(edges,
      'select distinct a.node as l, b.node as r from ' ~ name ~ '__pairs as p'
      ~ ' inner join ' ~ nodes ~ ' as a on p.left_key = a.node_key inner join ' ~ nodes ~ ' as b on p.right_key = b.node_key'
      ~ ' where a.node <> b.node'
      ~ ' union select distinct b.node as l, a.node as r from ' ~ name ~ '__pairs as p'
      ~ ' inner join ' ~ nodes ~ ' as a on p.left_key = a.node_key inner join ' ~ nodes ~ ' as b on p.right_key = b.node_key'
      ~ ' where a.node <> b.node') %}
  {% do replace_temp(labels, 'select node, node as root from ' ~ nodes) %}

  {# 64 halvings empty any graph that fits a warehouse; the loop ends as soon as no edge is left. #}
  {% set state = namespace(rounds=0, left=revetl_count(edges)) %}
  {% for _ in range(64) if state.left > 0 %}
    {% if state.left > 0 %}
      {% set state.rounds = state.rounds + 1 %}
      {% do replace_temp(next, 'select l as node, min(r) as parent from ' ~ edges ~ ' group by l') %}
      {% do replace_temp(hooks,
          'select a.node, case when b.parent = a.node and a.node < a.parent then a.node else a.parent end as parent from '
          ~ next ~ ' as a inner join ' ~ next ~ ' as b on a.parent = b.node') %}
      {% set pointers = namespace(moving=1) %}
      {% for _ in range(64) %}
        {% if pointers.moving > 0 %}
          {% do replace_temp(next,
              'select a.node, b.parent, case when a.parent <> b.parent then 1 else 0 end as moved from '
              ~ hooks ~ ' as a inner join ' ~ hooks ~ ' as b on a.parent = b.node') %}
          {% set pointers.moving = revetl_count(next ~ ' where moved = 1') %}
          {% do replace_temp(hooks, 'select node, parent from ' ~ next) %}
        {% endif %}
      {% endfor %}
      {% do replace_temp(next,
          'select n.node, coalesce(h.parent, n.root) as root from ' ~ labels ~ ' as n left join ' ~ hooks
          ~ ' as h on n.root = h.node') %}
      {% do replace_temp(labels, 'select node, root from ' ~ next) %}
      {% do replace_temp(next,
          'select distinct a.parent as l, b.parent as r from ' ~ edges ~ ' as e inner join ' ~ hooks
          ~ ' as a on e.l = a.node inner join ' ~ hooks ~ ' as b on e.r = b.node where a.parent <> b.parent') %}
      {% do replace_temp(edges, 'select l, r from ' ~ next) %}
      {% set state.left = revetl_count(edges) %}
    {% endif %}
  {% endfor %}
  {% if state.left > 0 %}
    {{ exceptions.raise_compiler_error(name ~ ': edges remain after ' ~ state.rounds ~ ' rounds') }}
  {% endif %}

  {%- set result -%}
    select
        n.node_key as node,
        min(n.node_key) over (partition by l.root) as component
    from {{ nodes }} as n
    inner join {{ labels }} as l on n.node = l.node
  {%- endset -%}
  {% if existing is not none %}{% do adapter.drop_relation(existing) %}{% endif %}
  {# dbt-postgres commits only what it began; dbt-duckdb would roll back what was begun here. #}
  {% call statement('main', auto_begin=(adapter.type() == 'postgres')) %}
    create table {{ target_relation }} as ({{ result }})
  {% endcall %}
  {% for temporary in [name ~ '__pairs', edges, nodes, labels, hooks, next] %}
    {% do run_query('drop table if exists ' ~ temporary) %}
  {% endfor %}

  {{ run_hooks(post_hooks, inside_transaction=True) }}
  {% do persist_docs(target_relation, model) %}
  {{ adapter.commit() }}
  {{ run_hooks(post_hooks, inside_transaction=False) }}
  {{ return({'relations': [target_relation]}) }}
{% endmaterialization %}


{# Temporary tables belong to the session, so two runs never meet. Postgres has no `or replace` for them. #}
{% macro replace_temp(name, query) %}
  {% do run_query('drop table if exists ' ~ name) %}
  {% do run_query('create temporary table ' ~ name ~ ' as ' ~ query) %}
{% endmacro %}

{% macro revetl_count(from_clause) %}
  {{ return(run_query('select count(*) from ' ~ from_clause).columns[0].values()[0] | int) }}
{% endmacro %}
