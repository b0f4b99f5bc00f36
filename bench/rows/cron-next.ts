import { atMost, type Row, series } from './row.js';

const expressions = { 'yearly (0 0 1 1 *)': '0 0 1 1 *', '*/5 * * * *': '*/5 * * * *' };

export const cronNext: Row = {
  name: 'cron-next',
  title: 'cron_next, per call',

  async run(bench) {
    const calls = 500;
    const times = await bench.with('pgmill', (run) =>
      bench.inTurns(Object.keys(expressions) as (keyof typeof expressions)[], async (name) => {
        const start = performance.now();
        const { rows } = await run.sql.query(
          `select count(pgmill.cron_next($1, '2026-01-01'::timestamptz + n * interval '17 hours', 'Europe/Amsterdam'))::int as found
           from generate_series(1, $2) n`,
          [expressions[name], calls],
        );
        if (rows[0].found !== calls) throw new Error(`cron_next found ${rows[0].found} of ${calls} times`);
        return (performance.now() - start) / calls;
      }),
    );
    const all = Object.entries(times).map(([name, values]) => series(name, values));
    const [yearly, often] = all.map(({ median }) => median) as [number, number];
    return [
      {
        row: 'cron-next',
        title: this.title,
        unit: 'ms',
        better: 'less',
        series: all,
        goals: [atMost(2, 'ms yearly', yearly), atMost(0.2, 'ms every five minutes', often)],
        note: `${calls} calls in one statement, Europe/Amsterdam`,
      },
    ];
  },
};
