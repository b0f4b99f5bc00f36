/** The demo's jobs, each name with its payload. */
export interface Jobs {
  /** Measures one file: `file` is its row in pgmill_demo.file, `path` the path in the folder, as encodePath writes it. */
  'demo.file': { file: string; path: string };
  /** Runs until it is cancelled. */
  'demo.endless': undefined;
}
