import { InvalidArgumentError } from './errors.js';

/** NUL, or half of a surrogate pair: JavaScript allows both in a string, PostgreSQL neither. */
const unstorable = /[\0\p{Surrogate}]/u;

/** The same two in what JSON.stringify wrote: `\u0000`, or `\ud800` to `\udfff` (whole pairs are not escaped). */
const unstorableEscape = /(?<!\\)(?:\\\\)*\\u(?:0000|d[89a-f])/;

/** The longest error text that is sent; the database keeps 2 kB of it. */
const longestErrorText = 8192;

/** Writes a value as JSON that jsonb can hold, or says clearly why not. The message never shows the value. */
export function toJson(value: unknown, what: string): string {
  let json: string | undefined;
  try {
    json = JSON.stringify(value);
  } catch {
    throw new InvalidArgumentError(`${what} cannot be written as JSON.`, {
      hint: 'JSON has no BigInt and no cycles: send strings, or ids instead of objects.',
    });
  }
  if (json === undefined) {
    throw new InvalidArgumentError(`${what} must be a JSON value, not undefined, a function or a symbol.`);
  }
  // The first test is a plain search, for nearly every payload the only one.
  if (json.includes('\\u') && unstorableEscape.test(json)) throw unstorableText(what);
  return json;
}

/** Returns the text unchanged, or refuses it when PostgreSQL could not store it. */
export function checkText(value: unknown, what: string): string {
  if (typeof value !== 'string') throw new InvalidArgumentError(`${what} must be a string.`);
  if (unstorable.test(value)) throw unstorableText(what);
  return value;
}

/** Makes any value a text that PostgreSQL can store. It never refuses: a failure report must not be lost. */
export function errorText(value: unknown): string {
  let text: string;
  try {
    text = String(value);
  } catch {
    text = 'unknown error';
  }
  return text.slice(0, longestErrorText).replace(/[\0\p{Surrogate}]/gu, '\ufffd');
}

function unstorableText(what: string): InvalidArgumentError {
  return new InvalidArgumentError(`${what} holds a NUL character or half of a surrogate pair.`, {
    hint: 'PostgreSQL cannot store these: remove them, or encode binary data as base64.',
  });
}
