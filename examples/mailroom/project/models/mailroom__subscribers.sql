select 'g1' as golden_id, 'ann@example.com' as email, 'Ann' as name, 'Riga' as city
union all
select 'g2', 'bob@example.com', 'Bob', null
union all
select 'g3', 'not an address', 'Cid', 'Oslo'
