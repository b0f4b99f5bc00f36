create or replace function pgmill.create_roles()
returns void
language plpgsql
security definer
set search_path = pg_catalog, pgmill, pg_temp
as $$
-- Creates the four roles where it may, and lets them into the schema. They cannot log in: grant them to those who can.
--
-- Returns  nothing. Where the installing user may not create a role, a warning says so and what to run; installing
--          again afterwards gives the role its functions.
-- Errors   none.
declare
  v_role text;
begin
  foreach v_role in array array['pgmill_producer', 'pgmill_worker', 'pgmill_observer', 'pgmill_admin'] loop
    begin
      if not exists (select from pg_roles r where r.rolname = v_role) then
        execute format('create role %I nologin', v_role);
      end if;
      execute format('grant usage on schema pgmill to %I', v_role);
    exception
      when insufficient_privilege then
        raise warning 'pgmill: role % is missing and % may not create it', v_role, current_user
          using hint = format('As a user who may: create role %s nologin; then install pgmill again.', v_role);
      when duplicate_object or unique_violation then
        -- Roles belong to the whole server: an installation into another database was faster.
        execute format('grant usage on schema pgmill to %I', v_role);
    end;
  end loop;
end;
$$;

comment on function pgmill.create_roles is 'Creates the four roles where it may.';

select pgmill.grant_execute('pgmill.create_roles', null);
