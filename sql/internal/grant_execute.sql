create or replace function pgmill.grant_execute(
  function_name text,
  role_name     text
)
returns void
language plpgsql
security definer
set search_path = pg_catalog, pgmill, pg_temp
as $$
-- Takes a function away from PUBLIC and gives it to one role; each file in sql/ ends with this call.
--
--   function_name  with its schema, without arguments; every function of pgmill has one form
--   role_name      one of the four roles; null: nobody, the function is internal
--
-- Returns  nothing. A role that is not there (see create_roles) is passed over.
-- Errors   those of PostgreSQL.
begin
  execute format('revoke all on function %s from public', grant_execute.function_name::regproc);
  if exists (select from pg_roles r where r.rolname = grant_execute.role_name) then
    execute format('grant execute on function %s to %I', grant_execute.function_name::regproc, grant_execute.role_name);
  end if;
end;
$$;

comment on function pgmill.grant_execute is 'Takes a function away from PUBLIC and gives it to one role.';

select pgmill.grant_execute('pgmill.grant_execute', null);
