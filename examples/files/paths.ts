import { isUtf8 } from 'node:buffer';

/**
 * A path as text that can be stored, printed and turned back. A file's name may hold any bytes: those that are not UTF-8,
 * control characters, and the percent sign itself are written as in a URL, `%0A`.
 */
export function encodePath(path: Buffer): string {
  const [encoding, strange] = isUtf8(path)
    ? (['utf8', /[%\p{Cc}\p{Cf}]/gu] as const)
    : (['latin1', /[^ -$&-~]/g] as const);
  return path.toString(encoding).replace(strange, (char) => {
    return Buffer.from(char, encoding).toString('hex').toUpperCase().replace(/../g, '%$&');
  });
}

export function decodePath(text: string): Buffer {
  // Every second part is what stood in the brackets.
  const parts = text.split(/%([0-9A-F]{2})/);
  return Buffer.concat(parts.map((part, index) => Buffer.from(part, index % 2 === 0 ? 'utf8' : 'hex')));
}

/** Either part may be empty. */
export function joinPath(folder: Buffer, name: Buffer): Buffer {
  const endsWithSlash = folder.at(-1) === '/'.charCodeAt(0);
  const slash = folder.length === 0 || name.length === 0 || endsWithSlash ? '' : '/';
  return Buffer.concat([folder, Buffer.from(slash), name]);
}
