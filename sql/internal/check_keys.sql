create or replace function pgmill.check_keys(
  object jsonb,
  known  text[]
)
returns void
language plpgsql
immutable
security definer
set search_path = pg_catalog, pgmill, pg_temp
as $$
-- Refuses a key that would otherwise be passed over in silence, such as a misspelt one.
--
--   object  a JSON object
--   known   the keys it may have
--
-- Returns  nothing.
-- Errors   PM001. The key is named only when it is short: a payload put in the wrong place must not show.
declare
  v_key text;
begin
  select k into v_key from jsonb_object_keys(check_keys.object) k where k <> all (check_keys.known) order by k limit 1;
  if found then
    perform pgmill.reject(
      case when v_key ~ '^[A-Za-z_]{1,30}$' then format('the key %s is not known.', quote_ident(v_key)) else 'a key is not known.' end,
      format('Known keys: %s.', array_to_string(check_keys.known, ', ')));
  end if;
end;
$$;

comment on function pgmill.check_keys is 'Refuses unknown keys of an object.';

select pgmill.grant_execute('pgmill.check_keys', null);
