// Calls of the service by name, with requests as bytes: what a wire script is played on.

import { type DescMethod, fromBinary, type Message } from "@bufbuild/protobuf";
import { Code as ConnectCode, ConnectError } from "@connectrpc/connect";
import { createNodeHttpClient, type Http2SessionManager } from "@connectrpc/connect-node";
import { encodeEnvelope } from "@connectrpc/connect/protocol";
import { createTransport } from "@connectrpc/connect/protocol-grpc";
import { AvatarService } from "../gen/avatar/v1/avatar_service_pb.js";
import { Code, type Status, StatusSchema } from "../gen/avatar/v1/status_pb.js";

const MOST_BYTES = 16 * 1024 * 1024;
const EARLY_MS = 2; // by which Node's timers may fire too early

/** How a call ended; `status` is what the trailing metadata say. */
export interface End {
  code: string;
  message: string;
  status: Status | undefined;
}

/** The method of a name. Throws RangeError. */
export function methodOf(name: string): DescMethod {
  const method = AvatarService.methods.find((one) => one.name === name);
  if (!method) throw new RangeError(`no call ${name}`);
  return method;
}

/** One call. A response is taken off the connection when it is asked for. */
export class WireCall {
  readonly method: DescMethod;
  readonly #aborting = new AbortController();
  readonly #responses: AsyncIterator<Message>;
  readonly #requests: Uint8Array[] = [];
  readonly #deadline: number;
  #wake: () => void = () => undefined;
  #isClosed = false;
  #end: End | undefined;

  constructor(
    connection: Http2SessionManager,
    method: DescMethod,
    metadata: Record<string, string>,
    deadlineMs: number,
  ) {
    this.method = method;
    this.#deadline = performance.now() + deadlineMs - EARLY_MS;
    const http = createNodeHttpClient({ httpVersion: "2", sessionProvider: () => connection });
    const transport = createTransport({
      baseUrl: connection.authority,
      // A client of connect takes messages alone: what it would send is replaced by the bytes of the script.
      httpClient: (request) => http({ ...request, body: this.#envelopes() }),
      useBinaryFormat: true,
      interceptors: [],
      acceptCompression: [],
      sendCompression: null,
      compressMinBytes: MOST_BYTES,
      readMaxBytes: MOST_BYTES,
      writeMaxBytes: MOST_BYTES,
    });
    const nothing = (async function* () {})();
    const { signal } = this.#aborting;
    // Connect types calls by their kind; on the wire each takes requests and gives responses.
    const opened = transport.stream(method as never, signal, deadlineMs, metadata, nothing);
    opened.catch(() => this.#over()); // `read` tells why
    this.#responses = (async function* () {
      yield* (await opened).message;
    })();
  }

  /**
   * Sends one request. A call that has ended takes none. This does not wait for the connection: what is unread may hold
   * up the news of the end, and with it a request that nobody takes any more.
   */
  send(data: Uint8Array): void {
    if (this.#isClosed || this.#end) return;
    this.#requests.push(data);
    this.#wake();
    if (this.method.methodKind !== "bidi_streaming") this.halfClose();
  }

  /** Says that nothing more comes. */
  halfClose(): void {
    this.#isClosed = true;
    this.#wake();
  }

  /** Cancels the call if it is open. */
  cancel(): void {
    this.#aborting.abort();
    this.#over();
  }

  /** The next response; undefined at the end, however the call ended. */
  async read(): Promise<Message | undefined> {
    if (this.#end) return undefined;
    try {
      const next = await this.#responses.next();
      if (!next.done) return next.value;
      this.#end = { code: "OK", message: "", status: undefined };
    } catch (error) {
      this.#end = this.#endOf(ConnectError.from(error));
    }
    this.#over();
    return undefined;
  }

  /** How the call ended; after `read` has returned undefined. */
  get end(): End {
    if (!this.#end) throw new Error("the call has not ended");
    return this.#end;
  }

  #endOf(error: ConnectError): End {
    const trailer = error.metadata.get("grpc-status-details-bin");
    const status = trailer ? fromBinary(StatusSchema, Buffer.from(trailer, "base64")) : undefined;
    // A deadline may cut a message in two, of which connect-node says INVALID_ARGUMENT, whatever the trailers say.
    const isCut = error.code === ConnectCode.InvalidArgument && !error.metadata.has("grpc-status");
    const code = isCut && performance.now() >= this.#deadline ? Code.DEADLINE_EXCEEDED : error.code;
    return { code: Code[code] ?? String(code), message: error.rawMessage, status };
  }

  async *#envelopes(): AsyncGenerator<Uint8Array, void, undefined> {
    for (;;) {
      const request = this.#requests.shift();
      if (request) {
        yield encodeEnvelope(0, request);
      } else if (this.#isClosed) return;
      else await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }

  #over(): void {
    this.halfClose();
    this.#requests.length = 0;
  }
}
