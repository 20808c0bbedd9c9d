{#
  A table that remembers: which golden id each member has, and had. The model's SELECT says who belongs together now, one row per
  member, in its columns `entity`, `member_key`, `cluster_key` (text, unique within an entity) and `created_at` (a timestamp or
  NULL). Each cluster is given an id:
    1. that of its members. Where several clusters or several ids compete, the largest overlap wins, then the older id;
    2. else one that most who ever had it share, and nobody has any more: a merge that is undone gives the ids back;
    3. else a new one, a hash of the member that was made first, as it would be in a warehouse that remembers nothing.

  The table is never dropped, not by `--full-refresh` either. Columns: entity, member_key, golden_id, began_build, began_at,
  ended_build, ended_at (NULL: holds now), is_latest (the last row of its member, ended or not), created_at (the member's, when it
  got the id). A member that is gone keeps its last row, so it finds its id when it comes back. What a build changes is
  written in one transaction; a build that changes nothing writes nothing and has no number.
#}
{% materialization lasting_ids, default %}
  {%- set target_relation = this.incorporate(type='table') -%}
  {%- set members = this.identifier ~ '__members' -%}
  {%- set overlaps = this.identifier ~ '__overlaps' -%}
  {%- set kept = this.identifier ~ '__kept' -%}
  {%- set ids = this.identifier ~ '__ids' -%}
  {%- set changes = this.identifier ~ '__changes' -%}
  {%- set next = this.identifier ~ '__next' -%}

  {{ run_hooks(pre_hooks, inside_transaction=False) }}
  {{ run_hooks(pre_hooks, inside_transaction=True) }}

  {% call statement('create') %}
    create table if not exists {{ target_relation }} (
        entity varchar(20),
        member_key varchar(1000),
        golden_id varchar(40),
        began_build integer,
        began_at timestamp,
        ended_build integer,
        ended_at timestamp,
        is_latest boolean,
        created_at timestamp
    )
  {% endcall %}
  {% set newest = 'select coalesce(max(greatest(began_build, coalesce(ended_build, 0))), 0) from ' ~ target_relation %}
  {% set build = (run_query(newest).columns[0].values()[0] | int) + 1 %}

  {% call replace_temp(members) %}
    select
        now_members.entity,
        now_members.member_key,
        now_members.cluster_key,
        now_members.created_at,
        latest.golden_id as held_id,
        case when latest.golden_id is not null and latest.ended_build is null then 1 else 0 end as n_open
    from ({{ sql }}) as now_members
    left join {{ target_relation }} as latest
        on
            now_members.entity = latest.entity
            and now_members.member_key = latest.member_key
            and latest.is_latest
  {% endcall %}
  {% call replace_temp(next) %}
    select
        entity,
        cluster_key,
        held_id as golden_id,
        count(*) as n_members
    from {{ members }}
    where held_id is not null
    group by entity, cluster_key, held_id
  {% endcall %}
  {% call replace_temp(overlaps) %}
    select
        entity,
        cluster_key,
        golden_id,
        n_members,
        count(*) over (partition by entity, cluster_key) + count(*) over (partition by entity, golden_id) as n_rivals
    from {{ next }}
  {% endcall %}
  {# Hardly ever does anybody compete, so most are settled at once. #}
  {% call replace_temp(kept) %}
    select
        entity,
        cluster_key,
        golden_id
    from {{ overlaps }}
    where n_rivals = 2
  {% endcall %}
  {% call replace_temp(next) %}
    select
        entity,
        cluster_key,
        golden_id,
        n_members
    from {{ overlaps }}
    where n_rivals > 2
  {% endcall %}
  {% do keep_largest_overlaps(next, kept, overlaps, target_relation) %}

  {# Clusters whose members had ids, all of which others kept. #}
  {% call replace_temp(ids) %}
    select
        members.entity,
        members.cluster_key,
        members.member_key
    from {{ members }} as members
    left join {{ kept }} as kept on members.entity = kept.entity and members.cluster_key = kept.cluster_key
    where
        kept.golden_id is null
        and exists (
            select 1
            from {{ members }} as others
            where
                others.entity = members.entity
                and others.cluster_key = members.cluster_key
                and others.held_id is not null
        )
  {% endcall %}
  {% if count_rows(ids) > 0 %}
    {% call replace_temp(next) %}
      with shared as (
          select
              losers.entity,
              losers.cluster_key,
              earlier.golden_id,
              count(distinct losers.member_key) as n_members
          from {{ ids }} as losers
          inner join {{ target_relation }} as earlier
              on losers.entity = earlier.entity and losers.member_key = earlier.member_key
          left join {{ kept }} as kept
              on earlier.entity = kept.entity and earlier.golden_id = kept.golden_id
          where kept.golden_id is null
          group by losers.entity, losers.cluster_key, earlier.golden_id
      ),

      ever as (
          select
              entity,
              golden_id,
              count(distinct member_key) as n_ever
          from {{ target_relation }}
          where golden_id in (select golden_id from shared)
          group by entity, golden_id
      )

      select
          shared.entity,
          shared.cluster_key,
          shared.golden_id,
          shared.n_members
      from shared
      inner join ever on shared.entity = ever.entity and shared.golden_id = ever.golden_id
      where 2 * shared.n_members >= ever.n_ever
    {% endcall %}
    {% do keep_largest_overlaps(next, kept, overlaps, target_relation) %}
  {% endif %}

  {% call replace_temp(ids) %}
    with firsts as (
        select
            members.entity,
            members.cluster_key,
            members.member_key,
            md5(members.entity || '|' || members.member_key) as golden_id,
            row_number() over (
                partition by members.entity, members.cluster_key
                order by
                    case when members.created_at is null then 1 else 0 end asc,
                    members.created_at asc,
                    members.member_key asc
            ) as place
        from {{ members }} as members
        left join {{ kept }} as kept on members.entity = kept.entity and members.cluster_key = kept.cluster_key
        where kept.golden_id is null
    ),

    -- An id that was given is never given to others.
    taken as (
        select distinct golden_id
        from {{ target_relation }}
        where golden_id in (select golden_id from firsts)
    )

    select
        entity,
        cluster_key,
        golden_id
    from {{ kept }}
    union all
    select
        firsts.entity,
        firsts.cluster_key,
        case
            when taken.golden_id is null then firsts.golden_id
            else md5(firsts.entity || '|' || firsts.member_key || '|build {{ build }}')
        end as golden_id
    from firsts
    left join taken on firsts.golden_id = taken.golden_id
    where firsts.place = 1
  {% endcall %}

  {% call replace_temp(changes) %}
    select
        members.entity,
        members.member_key,
        ids.golden_id,
        members.created_at,
        members.held_id,
        members.n_open
    from {{ members }} as members
    inner join {{ ids }} as ids on members.entity = ids.entity and members.cluster_key = ids.cluster_key
    where members.n_open = 0 or members.held_id <> ids.golden_id
  {% endcall %}
  {% set n_open = count_rows(target_relation, 'ended_build is null') %}
  {% if n_open > count_rows(members, 'n_open = 1') %}
    {% call replace_temp(next) %}
      select
          entity,
          member_key
      from {{ target_relation }}
      where ended_build is null
      except
      select
          entity,
          member_key
      from {{ members }}
    {% endcall %}
  {% else %}
    {% call replace_temp(next) %}
      select
          entity,
          member_key
      from {{ members }}
      where false
    {% endcall %}
  {% endif %}

  {% set statements %}
    update {{ target_relation }} set
        ended_build = coalesce(ended_build, {{ build }}),
        ended_at = coalesce(ended_at, {{ now_utc() }}),
        is_latest = false
    where is_latest and exists (
        select 1
        from {{ changes }} as changes
        where changes.entity = {{ this.identifier }}.entity and changes.member_key = {{ this.identifier }}.member_key
    );

    update {{ target_relation }} set
        ended_build = {{ build }},
        ended_at = {{ now_utc() }}
    where is_latest and ended_build is null and exists (
        select 1
        from {{ next }} as gone
        where gone.entity = {{ this.identifier }}.entity and gone.member_key = {{ this.identifier }}.member_key
    );

    insert into {{ target_relation }} (
        entity, member_key, golden_id, began_build, began_at, ended_build, ended_at, is_latest, created_at
    )
    select
        entity,
        member_key,
        golden_id,
        {{ build }} as began_build,
        {{ now_utc() }} as began_at,
        cast(null as integer) as ended_build,
        cast(null as timestamp) as ended_at,
        true as is_latest,
        created_at
    from {{ changes }}
  {% endset %}
  {# One transaction: half of this would be members with two ids or none. dbt-snowflake begins none by itself. #}
  {% call statement('main') %}
    {% if adapter.type() == 'snowflake' %}begin; {{ statements }}; commit{% else %}{{ statements }}{% endif %}
  {% endcall %}
  {% for temporary in [members, overlaps, kept, ids, changes, next] %}
    {% do run_query('drop table if exists ' ~ temporary) %}
  {% endfor %}

  {{ run_hooks(post_hooks, inside_transaction=True) }}
  {% do persist_docs(target_relation, model) %}
  {{ adapter.commit() }}
  {{ run_hooks(post_hooks, inside_transaction=False) }}
  {{ return({'relations': [target_relation]}) }}
{% endmaterialization %}


{#
  Moves from the temporary table `candidates` (entity, cluster_key, golden_id, n_members) into `kept` (entity, cluster_key, golden_id) what wins, and
  empties it: the best pair of all, then the best of what is left, until every cluster or id is used. Pairs that are the best of both sides are
  taken together, so there are few rounds. The order: the largest overlap, the id that was given first, the older record.
#}
{% macro keep_largest_overlaps(candidates, kept, ranked, memory) %}
  {% set state = namespace(left=count_rows(candidates)) %}
  {% if state.left > 0 %}
    {% call replace_temp(ranked) %}
      with ages as (
          select
              entity,
              golden_id,
              min(began_build) as first_build,
              min(created_at) as first_created_at
          from {{ memory }}
          where golden_id in (select golden_id from {{ candidates }})
          group by entity, golden_id
      )

      select
          candidates.entity,
          candidates.cluster_key,
          candidates.golden_id,
          row_number() over (
              order by
                  candidates.n_members desc,
                  ages.first_build asc,
                  case when ages.first_created_at is null then 1 else 0 end asc,
                  ages.first_created_at asc,
                  candidates.golden_id asc,
                  candidates.cluster_key asc
          ) as place
      from {{ candidates }} as candidates
      inner join ages on candidates.entity = ages.entity and candidates.golden_id = ages.golden_id
    {% endcall %}
    {# The best pair of all is always taken, so a round makes progress. #}
    {% for _ in range(state.left) if state.left > 0 %}
      {% if state.left > 0 %}
        {% do run_query(
            'insert into ' ~ kept ~ ' (entity, cluster_key, golden_id)'
            ~ ' select entity, cluster_key, golden_id from ('
            ~ ' select entity, cluster_key, golden_id, place,'
            ~ ' min(place) over (partition by entity, cluster_key) as cluster_place,'
            ~ ' min(place) over (partition by entity, golden_id) as id_place'
            ~ ' from ' ~ ranked ~ ') as places'
            ~ ' where place = cluster_place and place = id_place'
        ) %}
        {% call replace_temp(candidates) %}
          select
              ranked.entity,
              ranked.cluster_key,
              ranked.golden_id,
              ranked.place
          from {{ ranked }} as ranked
          left join {{ kept }} as by_cluster
              on ranked.entity = by_cluster.entity and ranked.cluster_key = by_cluster.cluster_key
          left join {{ kept }} as by_id
              on ranked.entity = by_id.entity and ranked.golden_id = by_id.golden_id
          where by_cluster.golden_id is null and by_id.golden_id is null
        {% endcall %}
        {% call replace_temp(ranked) %}
          select
              entity,
              cluster_key,
              golden_id,
              place
          from {{ candidates }}
        {% endcall %}
        {% set state.left = count_rows(ranked) %}
      {% endif %}
    {% endfor %}
  {% endif %}
{% endmacro %}
