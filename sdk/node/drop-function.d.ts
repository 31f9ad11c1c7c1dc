// What drop-function.js exports.

/** What an answer or an event can be; anything that is neither text nor bytes goes out as JSON. */
export type Answer = string | Uint8Array | number | boolean | object | null | undefined | void;

export type Handler<Message> = (message: Message) => Answer | PromiseLike<Answer>;

export interface Options {
  /** Absent: DROP_KIND, which the node sets, or `line`. run throws if both are there and differ. */
  kind?: 'line' | 'frame' | 'async' | 'exec';
  /** How many messages an asynchronous handler has at a time: 256. */
  concurrency?: number;
  /**
   * What it leads to that a handler throws or rejects.
   * `exit` (or absent): the answers to earlier messages are written, then run rejects, which ends
   * the process with 1 if nobody catches it; the node says `error` for this message and gives later
   * ones to another worker.
   * `answer`: the error goes to stderr, the answer is `{"error":"TypeError: its text"}`, and work
   * goes on. A function makes the answer.
   */
  onError?: 'exit' | 'answer' | ((message: Buffer, error: unknown) => Answer);
}

/**
 * Calls `handler(message)` for each message. Resolves when stdin ended, SIGTERM came or nobody
 * reads the answers any more; rejects with what a handler threw, and with what is wrong with stdin.
 *
 * `message` says what the handler gets: `string` (a message that is not UTF-8 is an error of the
 * handler), `buffer`, or `json`, where all answers but bytes are JSON, too.
 */
export function run(
  handler: Handler<string>,
  options?: Options & { message?: 'string' },
): Promise<void>;
export function run(
  handler: Handler<Buffer>,
  options: Options & { message: 'buffer' },
): Promise<void>;
export function run<Message = unknown>(
  handler: Handler<Message>,
  options: Options & { message: 'json' },
): Promise<void>;

/** Says that messages may come: the line that the flow's key `ready` waits for. Before run(). */
export function ready(text: string): void;

/**
 * Writes an event of a function of kind `stream`, which has no handler. Returns false when the
 * reader is slow: then wait for the event `drain` of process.stdout.
 */
export function emit(event: Answer): boolean;
