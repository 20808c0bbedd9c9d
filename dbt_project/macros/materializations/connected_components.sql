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
  {%- set pairs = this.identifier ~ '__pairs' -%}
  {%- set nodes = this.identifier ~ '__nodes' -%}
  {%- set edges = this.identifier ~ '__edges' -%}
  {%- set labels = this.identifier ~ '__labels' -%}
  {%- set pointers = this.identifier ~ '__pointers' -%}
  {%- set next = this.identifier ~ '__next' -%}

  {{ run_hooks(pre_hooks, inside_transaction=False) }}
  {{ run_hooks(pre_hooks, inside_transaction=True) }}

  {% call replace_temp(pairs) %}
    select
        left_key,
        right_key
    from ({{ sql }}) as model_edges
  {% endcall %}
  {# Numbers instead of text: smaller and faster, and in the order of the keys. #}
  {% call replace_temp(nodes) %}
    select
        node_key,
        row_number() over (order by node_key) as node
    from (
        select left_key as node_key from {{ pairs }}
        union
        select right_key as node_key from {{ pairs }}
    ) as node_keys
  {% endcall %}
  {# Each edge in both directions. #}
  {% call replace_temp(edges) %}
    with numbered as (
        select
            left_nodes.node as left_node,
            right_nodes.node as right_node
        from {{ pairs }} as pairs
        inner join {{ nodes }} as left_nodes on pairs.left_key = left_nodes.node_key
        inner join {{ nodes }} as right_nodes on pairs.right_key = right_nodes.node_key
        where left_nodes.node <> right_nodes.node
    )

    select
        left_node,
        right_node
    from numbered
    union
    select
        right_node as left_node,
        left_node as right_node
    from numbered
  {% endcall %}
  {% call replace_temp(labels) %}
    select
        node,
        node as root
    from {{ nodes }}
  {% endcall %}

  {# 64 halvings empty any graph that fits a warehouse; the loop ends as soon as no edge is left. #}
  {% set state = namespace(rounds=0, left=count_rows(edges), moving=0) %}
  {% for _ in range(64) if state.left > 0 %}
    {% if state.left > 0 %}
      {% set state.rounds = state.rounds + 1 %}
      {% call replace_temp(next) %}
        select
            left_node as node,
            min(right_node) as parent
        from {{ edges }}
        group by left_node
      {% endcall %}
      {% call replace_temp(pointers) %}
        select
            children.node,
            case
                when parents.parent = children.node and children.node < children.parent then children.node
                else children.parent
            end as parent
        from {{ next }} as children
        inner join {{ next }} as parents on children.parent = parents.node
      {% endcall %}
      {% set state.moving = 1 %}
      {% for _ in range(64) %}
        {% if state.moving > 0 %}
          {% call replace_temp(next) %}
            select
                children.node,
                parents.parent,
                case when children.parent <> parents.parent then 1 else 0 end as moved
            from {{ pointers }} as children
            inner join {{ pointers }} as parents on children.parent = parents.node
          {% endcall %}
          {% set state.moving = count_rows(next, 'moved = 1') %}
          {% call replace_temp(pointers) %}
            select
                node,
                parent
            from {{ next }}
          {% endcall %}
        {% endif %}
      {% endfor %}
      {% call replace_temp(next) %}
        select
            labels.node,
            coalesce(pointers.parent, labels.root) as root
        from {{ labels }} as labels
        left join {{ pointers }} as pointers on labels.root = pointers.node
      {% endcall %}
      {% call replace_temp(labels) %}
        select
            node,
            root
        from {{ next }}
      {% endcall %}
      {% call replace_temp(next) %}
        select distinct
            left_pointers.parent as left_node,
            right_pointers.parent as right_node
        from {{ edges }} as edges
        inner join {{ pointers }} as left_pointers on edges.left_node = left_pointers.node
        inner join {{ pointers }} as right_pointers on edges.right_node = right_pointers.node
        where left_pointers.parent <> right_pointers.parent
      {% endcall %}
      {% call replace_temp(edges) %}
        select
            left_node,
            right_node
        from {{ next }}
      {% endcall %}
      {% set state.left = count_rows(edges) %}
    {% endif %}
  {% endfor %}
  {% if state.left > 0 %}
    {{ exceptions.raise_compiler_error(this.identifier ~ ': edges remain after ' ~ state.rounds ~ ' rounds') }}
  {% endif %}

  {% if existing is not none %}{% do adapter.drop_relation(existing) %}{% endif %}
  {# dbt-postgres commits only what it began; dbt-duckdb would roll back what was begun here. #}
  {% call statement('main', auto_begin=(adapter.type() == 'postgres')) %}
    create table {{ target_relation }} as (
        select
            nodes.node_key as node,
            min(nodes.node_key) over (partition by labels.root) as component
        from {{ nodes }} as nodes
        inner join {{ labels }} as labels on nodes.node = labels.node
    )
  {% endcall %}
  {% for temporary in [pairs, nodes, edges, labels, pointers, next] %}
    {% do run_query('drop table if exists ' ~ temporary) %}
  {% endfor %}

  {{ run_hooks(post_hooks, inside_transaction=True) }}
  {% do persist_docs(target_relation, model) %}
  {{ adapter.commit() }}
  {{ run_hooks(post_hooks, inside_transaction=False) }}
  {{ return({'relations': [target_relation]}) }}
{% endmaterialization %}


{#
  Makes the temporary table `name` anew from the query in the call block. Temporary tables belong to the session, so two
  runs never meet. Postgres has no `or replace` for them.
#}
{% macro replace_temp(name) %}
  {% do run_query('drop table if exists ' ~ name) %}
  {% do run_query('create temporary table ' ~ name ~ ' as ' ~ caller()) %}
{% endmacro %}

{# How many rows of a relation meet a condition: a number, at run time. #}
{% macro count_rows(relation, condition='true') %}
  {{ return(run_query('select count(*) from ' ~ relation ~ ' where ' ~ condition).columns[0].values()[0] | int) }}
{% endmacro %}
