/** Why a job's signal was aborted. */
export type StopCode = 'timeout' | 'cancelled' | 'lease_lost' | 'shutdown';

const messages: Record<StopCode, string> = {
  timeout: 'The job ran out of time.',
  cancelled: 'Someone asked for the job to be cancelled.',
  lease_lost: 'The lease was lost: the job is no longer ours.',
  shutdown: 'The worker stops and has given the job back.',
};

/** The `reason` of a job's signal: `signal.reason.code` tells the four cases apart. */
export class JobStoppedError extends Error {
  override readonly name = 'JobStoppedError';
  readonly code: StopCode;

  constructor(code: StopCode, message: string = messages[code]) {
    super(message);
    this.code = code;
  }
}

/** Thrown by a handler: the job has failed for good, whatever attempts are left. `final: true` on any error does the same. */
export class FinalError extends Error {
  override readonly name = 'FinalError';
  readonly final = true;
}

/** Thrown by a handler (`ctx.snooze` does): the job comes back later, and the attempt is not charged. */
export class SnoozeError extends Error {
  override readonly name = 'SnoozeError';
  /** A point in time, or milliseconds from now. */
  readonly until: Date | number;

  constructor(until: Date | number) {
    super('The job asked to come back later.');
    this.until = until;
  }
}
