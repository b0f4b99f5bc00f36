/**
 * Aborted when the user wants an end: Ctrl-C, SIGTERM, a closed terminal, or output that nobody reads any more. A second
 * signal ends the process at once.
 */
export function stopSignal(): AbortSignal {
  const controller = new AbortController();
  let stoppedAt = 0;
  const onSignal = () => {
    // npm passes Ctrl-C on to us although the terminal has sent it already.
    if (controller.signal.aborted && performance.now() - stoppedAt > 500) process.exit(130);
    if (controller.signal.aborted) return;
    stoppedAt = performance.now();
    controller.abort();
  };
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(name, onSignal);
  process.stdout.on('error', () => controller.abort());
  process.stderr.on('error', () => {});
  return controller.signal;
}
