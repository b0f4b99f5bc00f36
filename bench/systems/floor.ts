// The barest SQL that does the step, without what makes a queue safe or useful: no leases, retries or schedules.
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import type { Handle, Payload, Producer, System, Variant, Worker } from './system.js';

// One index besides the key: without it, jobs could only be claimed in the order of their ids.
const table = `
  create table floor_job (
    id        bigint generated always as identity primary key,
    name      text not null,
    payload   jsonb not null,
    priority  int not null default 0,
    run_at    timestamptz not null default now(),
    locked_at timestamptz
  );
  create index floor_job_claim on floor_job (priority, run_at, id) where locked_at is null`;

const add = { name: 'add', text: `insert into floor_job (name, payload) values ('noop', $1) returning id` };
const addMany = {
  name: 'add-many',
  text: `insert into floor_job (name, payload) select 'noop', p from unnest($1::jsonb[]) p`,
};
const claim = {
  name: 'claim',
  text: `
    update floor_job set locked_at = now()
    where id = any (array(
      select id from floor_job
      where locked_at is null and run_at <= now()
      order by priority, run_at, id
      limit $1
      for update skip locked))
    returning id, payload`,
};
const remove = { name: 'remove', text: 'delete from floor_job where id = any ($1::bigint[])' };

export const system: System = {
  counts: `select count(*)::int as unsettled, 0 as failed, null::int as done from floor_job`,
  settled: 'select not exists (select from floor_job) as settled',

  async install(url) {
    const client = new pg.Client({ connectionString: url });
    await client.connect();
    await client.query(table);
    await client.end();
  },

  async producer(url, connections) {
    const pool = new pg.Pool({ connectionString: url, max: connections });
    return {
      add: (payload) => pool.query({ ...add, values: [JSON.stringify(payload)] }),
      addMany: (payloads) => pool.query({ ...addMany, values: [payloads.map((each) => JSON.stringify(each))] }),
      close: () => pool.end(),
    };
  },

  worker: (url, variant, handle) => new FloorWorker(url, variant, handle),
};

/** The floor of the latency: the same insert with a NOTIFY. */
export async function notifyingProducer(url: string): Promise<Producer> {
  const pool = new pg.Pool({ connectionString: url, max: 1 });
  const text = `with added as (${add.text}) select pg_notify('floor', '') from added`;
  return {
    add: (payload: Payload) => pool.query({ name: 'add-notify', text, values: [JSON.stringify(payload)] }),
    addMany: () => Promise.reject(new Error('not needed')),
    close: () => pool.end(),
  };
}

class FloorWorker implements Worker {
  readonly #client: pg.Client;
  readonly #handle: Handle;
  readonly #batch: number;
  readonly #listen: boolean;
  #stopping = false;
  #loop: Promise<void> | undefined;
  #wake: () => void = () => {};

  constructor(url: string, variant: Variant, handle: Handle) {
    this.#client = new pg.Client({ connectionString: url });
    this.#handle = handle;
    this.#batch = variant === 'one' ? 1 : 1000;
    this.#listen = variant === 'latency';
  }

  async start(): Promise<void> {
    await this.#client.connect();
    this.#client.on('notification', () => this.#wake());
    if (this.#listen) await this.#client.query('listen floor');
    this.#loop = this.#run();
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    this.#wake();
    await this.#loop;
    await this.#client.end();
  }

  async #run(): Promise<void> {
    while (!this.#stopping) {
      let woken = false;
      const wake = new Promise<void>((resolve) => {
        this.#wake = () => {
          woken = true;
          resolve();
        };
      });
      const { rows } = await this.#client.query({ ...claim, values: [this.#batch] });
      const ids: string[] = [];
      for (const { id, payload } of rows) {
        this.#handle(payload, 1);
        ids.push(id);
      }
      if (ids.length > 0) await this.#client.query({ ...remove, values: [ids] });
      else if (!woken) await Promise.race([wake, sleep(this.#listen ? 1000 : 5)]);
    }
  }
}
