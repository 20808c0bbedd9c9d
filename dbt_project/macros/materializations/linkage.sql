{#
  A table (node, cluster): what becomes of records that would be one component, once every two of them have been weighed.
  The model's SELECT returns in its first three columns `left_key`, `right_key` (text) and `weight`, at most one row for
  two records: above zero they belong together, below zero they do not, NULL means never. A record is given as a pair of
  itself. Two records without a row count `unscored` (a config, default -2). `cluster` is the smallest record of the
  cluster, so it does not depend on the order of rows.

  Average linkage by mutual best: in a round every cluster picks the cluster that it has the highest mean weight with;
  two that picked each other become one; clusters whose mean is not above zero, or with a NULL between two records of
  theirs, never do. The best pair of all is always mutual, so each round makes progress.
#}
{% materialization linkage, default %}
  {%- set target_relation = this.incorporate(type='table') -%}
  {%- set existing = load_cached_relation(this) -%}
  {%- set unscored = config.get('unscored', -2) -%}
  {%- set clusters = this.identifier ~ '__clusters' -%}
  {%- set links = this.identifier ~ '__links' -%}
  {%- set sizes = this.identifier ~ '__sizes' -%}
  {%- set means = this.identifier ~ '__means' -%}
  {%- set merges = this.identifier ~ '__merges' -%}
  {%- set next = this.identifier ~ '__next' -%}

  {{ run_hooks(pre_hooks, inside_transaction=False) }}
  {{ run_hooks(pre_hooks, inside_transaction=True) }}

  {% call replace_temp(next) %}
    select
        left_key,
        right_key,
        weight
    from ({{ sql }}) as model_pairs
  {% endcall %}
  {% call replace_temp(clusters) %}
    select
        left_key as node,
        left_key as cluster_key
    from {{ next }}
    where left_key = right_key
  {% endcall %}
  {% call replace_temp(links) %}
    select
        least(left_key, right_key) as left_key,
        greatest(left_key, right_key) as right_key,
        cast(coalesce(weight, 0) as double precision) as weight,
        1 as n_pairs,
        case when weight is null then 1 else 0 end as n_never
    from {{ next }}
    where left_key <> right_key
  {% endcall %}

  {# No more merges than records; a loop of this project's ends long before. #}
  {% set state = namespace(rounds=0, merging=1) %}
  {% for _ in range(1000) if state.merging > 0 %}
    {% if state.merging > 0 %}
      {% set state.rounds = state.rounds + 1 %}
      {% call replace_temp(sizes) %}
        select
            cluster_key,
            count(*) as n_records
        from {{ clusters }}
        group by cluster_key
      {% endcall %}
      {% call replace_temp(means) %}
        select
            links.left_key,
            links.right_key,
            (links.weight + {{ unscored }} * (left_sizes.n_records * right_sizes.n_records - links.n_pairs))
            / cast(left_sizes.n_records * right_sizes.n_records as double precision) as mean_weight
        from {{ links }} as links
        inner join {{ sizes }} as left_sizes on links.left_key = left_sizes.cluster_key
        inner join {{ sizes }} as right_sizes on links.right_key = right_sizes.cluster_key
        where links.n_never = 0
      {% endcall %}
      {% call replace_temp(merges) %}
        with picked as (
            select
                left_key,
                right_key,
                row_number() over (
                    partition by picking_key
                    order by mean_weight desc, left_key asc, right_key asc
                ) as pick_rank
            from (
                select left_key as picking_key, left_key, right_key, mean_weight from {{ means }}
                union all
                select right_key as picking_key, left_key, right_key, mean_weight from {{ means }}
            ) as picks
            where mean_weight > 0
        )

        select
            left_key,
            right_key
        from picked
        where pick_rank = 1
        group by left_key, right_key
        having count(*) = 2
      {% endcall %}
      {% set state.merging = count_rows(merges) %}
      {% if state.merging > 0 %}
        {% call replace_temp(next) %}
          select
              clusters.node,
              coalesce(merges.left_key, clusters.cluster_key) as cluster_key
          from {{ clusters }} as clusters
          left join {{ merges }} as merges on clusters.cluster_key = merges.right_key
        {% endcall %}
        {% call replace_temp(clusters) %}
          select
              node,
              cluster_key
          from {{ next }}
        {% endcall %}
        {% call replace_temp(next) %}
          select
              least(left_side, right_side) as left_key,
              greatest(left_side, right_side) as right_key,
              sum(weight) as weight,
              sum(n_pairs) as n_pairs,
              sum(n_never) as n_never
          from (
              select
                  coalesce(left_merges.left_key, links.left_key) as left_side,
                  coalesce(right_merges.left_key, links.right_key) as right_side,
                  links.weight,
                  links.n_pairs,
                  links.n_never
              from {{ links }} as links
              left join {{ merges }} as left_merges on links.left_key = left_merges.right_key
              left join {{ merges }} as right_merges on links.right_key = right_merges.right_key
          ) as moved
          where left_side <> right_side
          group by 1, 2
        {% endcall %}
        {% call replace_temp(links) %}
          select
              left_key,
              right_key,
              weight,
              n_pairs,
              n_never
          from {{ next }}
        {% endcall %}
      {% endif %}
    {% endif %}
  {% endfor %}
  {% if state.merging > 0 %}
    {{ exceptions.raise_compiler_error(this.identifier ~ ': clusters still merge after ' ~ state.rounds ~ ' rounds') }}
  {% endif %}

  {% if existing is not none %}{% do adapter.drop_relation(existing) %}{% endif %}
  {# dbt-postgres commits only what it began; dbt-duckdb would roll back what was begun here. #}
  {% call statement('main', auto_begin=(adapter.type() == 'postgres')) %}
    create table {{ target_relation }} as (
        select
            node,
            min(node) over (partition by cluster_key) as cluster
        from {{ clusters }}
    )
  {% endcall %}
  {% for temporary in [clusters, links, sizes, means, merges, next] %}
    {% do run_query('drop table if exists ' ~ temporary) %}
  {% endfor %}

  {{ run_hooks(post_hooks, inside_transaction=True) }}
  {% do persist_docs(target_relation, model) %}
  {{ adapter.commit() }}
  {{ run_hooks(post_hooks, inside_transaction=False) }}
  {{ return({'relations': [target_relation]}) }}
{% endmaterialization %}
