create or replace function pgmill.check_jobs(
  jobs       jsonb,
  out queues text[],
  out keyed  boolean,
  out later  boolean,
  out large  boolean
)
language plpgsql
stable
security definer
set search_path = pg_catalog, pgmill, pg_temp
as $$
-- Checks the array of add_jobs.
--
--   jobs  as add_jobs got it
--
-- Returns  queues: the queues it puts jobs into; keyed: whether any has a unique_key; later: whether any has a run_at;
--          large: whether any payload is.
-- Errors   PM001, with the position of the first object that is wrong, counted from 1.
declare
  v_good    boolean;
  v_first   text;
  v_last    text;
  v_ord     bigint;
  v_job     jsonb;
  v_message text;
  v_hint    text;
begin
  if jsonb_typeof(check_jobs.jobs) is distinct from 'array' then
    perform pgmill.reject('jobs must be an array.', 'Pass a JSON array of objects, one for each job.');
  elsif jsonb_array_length(check_jobs.jobs) > 10000 then
    perform pgmill.reject(format('jobs holds %s jobs; the limit is 10000.', jsonb_array_length(check_jobs.jobs)), 'Call once for each 10000.');
  end if;

  -- All at once, which is fast and only says whether everything is right. The block turns the errors of the casts
  -- into a no; it writes nothing, so it costs no subtransaction id.
  begin
    select coalesce(bool_and(
        e.job - '{name,payload,queue,priority,run_at,max_attempts,timeout,retry_base,retry_max,unique_key,on_duplicate}'::text[] = '{}'), true)
      into v_good
      from jsonb_array_elements(check_jobs.jobs) e(job);
    if v_good then
      select
        coalesce(bool_and(coalesce(
          r.name <> '' and length(r.name) <= 255
          and r.queue <> '' and length(r.queue) <= 255
          and pg_column_size(r.payload) <= 1048576
          and (r.run_at is null or isfinite(r.run_at))
          and r.max_attempts between 1 and 1000
          and (r.timeout is null or (r.timeout between '1 millisecond' and '366 days'))
          and (r.retry_base is null or r.retry_base between '0' and '366 days')
          and (r.retry_max is null or r.retry_max between '0' and '3660 days')
          and (r.unique_key is null or (r.unique_key <> '' and length(r.unique_key) <= 255))
          and r.on_duplicate in ('skip', 'replace', 'error'), false)), true),
        min(r.queue), max(r.queue),
        coalesce(bool_or(r.unique_key is not null), false),
        coalesce(bool_or(r.run_at is not null), false),
        coalesce(bool_or(pgmill.is_large(r.payload)), false)
      into v_good, v_first, v_last, keyed, later, large
      from pgmill.read_jobs(check_jobs.jobs) r;
      -- Mostly one; collecting them always would take as long as the rest of these.
      queues := case
        when v_first = v_last then array[v_first]
        else array(select distinct r.queue from pgmill.read_jobs(check_jobs.jobs) r)
      end;
    end if;
  exception
    when data_exception or invalid_parameter_value then v_good := false;
  end;
  if v_good then
    return;
  end if;

  -- One by one, to say which is wrong.
  for v_ord, v_job in select e.ord, e.job from jsonb_array_elements(check_jobs.jobs) with ordinality e(job, ord) order by e.ord loop
    begin
      if jsonb_typeof(v_job) <> 'object' then
        perform pgmill.reject('it is not an object.', 'Pass an object with add_job''s parameters as keys.');
      end if;
      perform pgmill.check_keys(
        v_job, '{name,payload,queue,priority,run_at,max_attempts,timeout,retry_base,retry_max,unique_key,on_duplicate}');
      perform pgmill.check_job(
        r.name, r.payload, r.queue, r.priority, r.run_at, r.max_attempts, r.timeout,
        coalesce(r.retry_base, '0'), coalesce(r.retry_max, '0'), r.unique_key, r.on_duplicate)
      from pgmill.read_jobs(jsonb_build_array(v_job)) r;
    exception
      when sqlstate 'PM001' then
        get stacked diagnostics v_message = message_text, v_hint = pg_exception_hint;
        perform pgmill.reject(format('Job %s: %s', v_ord, v_message), v_hint);
      when data_exception or invalid_parameter_value then
        -- The message of a failed cast quotes the value; ours does not.
        perform pgmill.reject(
          format('Job %s: a value is not of its parameter''s type.', v_ord),
          'priority and max_attempts are whole numbers, run_at is a timestamp, timeout, retry_base and retry_max are durations such as "90 seconds".');
    end;
  end loop;
end;
$$;

comment on function pgmill.check_jobs is 'Checks the array of add_jobs.';

select pgmill.grant_execute('pgmill.check_jobs', null);
