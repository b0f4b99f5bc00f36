import pg from 'pg';
import { PgMill } from '../../../client/index.js';

const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL });
const mill = new PgMill({ pool });

const client = await pool.connect();
await client.query('begin');
await client.query('create table if not exists invoice (id int)');
await client.query('insert into invoice values (1)');
await mill.addJob('invoice.print', { id: 1 }, { tx: client }); // there when the invoice is
await client.query('commit');
client.release();

const counts = await mill.runOnce({
  handlers: {
    'invoice.print': {
      transactional: true, // what the handler writes through tx commits with the job's completion
      handler: async ({ id }, { tx }) => {
        await tx.query('update invoice set id = id where id = $1', [id]);
        return { printed: true };
      },
    },
  },
});
console.log(counts.completed);
await mill.close();
await pool.end();
