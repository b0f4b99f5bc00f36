/** Every error that pgmill raises on purpose. Tell them apart by class or by `code`, never by the message. */
export class PgMillError extends Error {
  override readonly name: string = 'PgMillError';
  /** The code that the SQL function raised, `PM…`; sql/README.md lists them. */
  readonly code: string;
  /** The cure, in one sentence. */
  readonly hint: string | undefined;

  constructor(message: string, options: { code?: string; hint?: string | undefined; cause?: unknown } = {}) {
    super(message, 'cause' in options ? { cause: options.cause } : undefined);
    this.code = options.code ?? 'PM000';
    this.hint = options.hint;
  }
}

/** PM001: a value that the function cannot take; nothing was changed. */
export class InvalidArgumentError extends PgMillError {
  override readonly name = 'InvalidArgumentError';
  override readonly code = 'PM001';
}

/** PM002: the lease is not current: it ran out and the job was taken back, or the job has ended. */
export class LeaseLostError extends PgMillError {
  override readonly name = 'LeaseLostError';
  override readonly code = 'PM002';
}

/** PM003: this very lease completed the job before. */
export class AlreadyCompletedError extends PgMillError {
  override readonly name = 'AlreadyCompletedError';
  override readonly code = 'PM003';
}

/** PM004: a live job of the queue holds the unique key, and `onDuplicate` is `error`. */
export class DuplicateKeyError extends PgMillError {
  override readonly name = 'DuplicateKeyError';
  override readonly code = 'PM004';
}

/** PM005: the job is running, so it cannot be changed. */
export class JobRunningError extends PgMillError {
  override readonly name = 'JobRunningError';
  override readonly code = 'PM005';
}

/** PM101: the database was installed by a newer pgmill. */
export class NewerSchemaError extends PgMillError {
  override readonly name = 'NewerSchemaError';
  override readonly code = 'PM101';
}

/** PM102: a migration that the database has is not the one that this pgmill carries. */
export class ChangedHistoryError extends PgMillError {
  override readonly name = 'ChangedHistoryError';
  override readonly code = 'PM102';
}

/** PM201: the cron expression cannot be read. */
export class InvalidCronError extends PgMillError {
  override readonly name = 'InvalidCronError';
  override readonly code = 'PM201';
}

/** PM202: PostgreSQL does not know the time zone. */
export class InvalidTimezoneError extends PgMillError {
  override readonly name = 'InvalidTimezoneError';
  override readonly code = 'PM202';
}

/** PM203: there is no schedule of that name. */
export class UnknownCronError extends PgMillError {
  override readonly name = 'UnknownCronError';
  override readonly code = 'PM203';
}

const classes: Record<string, typeof PgMillError> = {
  PM001: InvalidArgumentError,
  PM002: LeaseLostError,
  PM003: AlreadyCompletedError,
  PM004: DuplicateKeyError,
  PM005: JobRunningError,
  PM101: NewerSchemaError,
  PM102: ChangedHistoryError,
  PM201: InvalidCronError,
  PM202: InvalidTimezoneError,
  PM203: UnknownCronError,
};

const badText = 'A value holds text that PostgreSQL cannot store.';
const badForm = 'A value does not have the form that PostgreSQL expects.';
const badTime = 'A time or a duration is out of range.';

/** PostgreSQL's own complaints about values. Their detail and context can show payload, so nothing of them is kept. */
const refusals: Record<string, string> = {
  '22021': badText, // a byte that is not text, such as NUL
  '22P05': badText, // \u0000 in jsonb
  '22P02': badForm, // half of a surrogate pair in jsonb, among others
  '22003': 'A number is out of range.',
  '22007': badTime,
  '22008': badTime,
  '22009': badTime,
  '22015': badTime,
  '54000': 'A value is too large.',
};

/** Makes an error of ours from one of the database's; anything else comes back unchanged. */
export function convertError(error: unknown): unknown {
  const { code, message, hint } = (error ?? {}) as { code?: unknown; message?: string; hint?: string };
  if (typeof code !== 'string' || error instanceof PgMillError) return error;

  const refusal = refusals[code];
  if (refusal !== undefined) return new InvalidArgumentError(refusal);
  if (!/^PM\d{3}$/.test(code)) return error;

  const OurError = classes[code] ?? PgMillError;
  return new OurError(message ?? code, { code, hint, cause: error });
}
