create or replace function pgmill.cron_parse(
  expression text
)
returns bigint[]
language plpgsql
immutable
security definer
set search_path = pg_catalog, pgmill, pg_temp
as $$
-- Reads a cron expression into six sets of bits.
--
--   expression  five fields, six with seconds first, or a name such as @daily
--
-- Returns  the sets of cron_field in its order: second, minute, hour, day of month, month, day of week.
--          A day matches when either day set has it: a field that is exactly * or ? is left empty when
--          the other one is not.
-- Errors   PM001 for null; PM201 with the field that is wrong.
declare
  v_text   text;
  v_fields text[];
  v_sets   bigint[];
begin
  if expression is null then
    raise exception using errcode = 'PM001', message = 'expression must not be null.',
      hint = 'Give a cron expression such as 0 9 * * 1-5.';
  end if;
  if length(expression) > 1024 then
    raise exception using errcode = 'PM201', message = 'The cron expression is longer than 1024 characters.',
      hint = 'Use ranges and steps in place of long lists.';
  end if;

  -- Collation C: in some languages lower('I') is not i.
  v_fields := array_remove(string_to_array(translate(lower(expression collate "C"), E'\t\n\r\f\x0b', '     '), ' '), '');
  v_text := case array_to_string(v_fields, ' ')
    when '@yearly' then '0 0 1 1 *'
    when '@annually' then '0 0 1 1 *'
    when '@monthly' then '0 0 1 * *'
    when '@weekly' then '0 0 * * 0'
    when '@daily' then '0 0 * * *'
    when '@midnight' then '0 0 * * *'
    when '@hourly' then '0 * * * *'
  end;
  if v_text is not null then
    v_fields := string_to_array(v_text, ' ');
  elsif v_fields[1] like '@%' then
    raise exception using errcode = 'PM201', message = format('The cron expression "%s" is not known.', left(expression, 40)),
      hint = 'Use @yearly, @annually, @monthly, @weekly, @daily, @midnight, @hourly or five fields.';
  end if;

  if cardinality(v_fields) = 5 then
    v_fields := array_prepend('0', v_fields);
  elsif cardinality(v_fields) <> 6 then
    raise exception using errcode = 'PM201',
      message = format('The cron expression has %s fields, not five or six.', cardinality(v_fields)),
      hint = 'The fields are minute, hour, day of month, month, day of week; a sixth in front is the second.';
  end if;

  for v_place in 1..6 loop
    v_sets[v_place] := pgmill.cron_field(v_fields[v_place], v_place);
  end loop;
  if v_fields[6] in ('*', '?') then
    v_sets[6] := 0;
  elsif v_fields[4] in ('*', '?') then
    v_sets[4] := 0;
  end if;
  return v_sets;
end;
$$;

comment on function pgmill.cron_parse is 'Reads a cron expression into six sets of bits.';

select pgmill.grant_execute('pgmill.cron_parse', null);
