// The client: where the service is, how it is reached, and its calls.

import { setMaxListeners } from "node:events";
import { readFileSync } from "node:fs";
import { create, type Message } from "@bufbuild/protobuf";
import { type Client, createClient, type Interceptor } from "@connectrpc/connect";
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";
import { Conversation } from "./conversation.js";
import { asAvatarError, AvatarError } from "./errors.js";
import type { EventOf } from "./events.js";
import { AvatarService } from "./gen/avatar/v1/avatar_service_pb.js";
import type { Avatar } from "./gen/avatar/v1/avatars_pb.js";
import type { GetServerInfoResponse } from "./gen/avatar/v1/server_info_pb.js";
import type { ConverseConfig } from "./gen/avatar/v1/session_pb.js";
import { type SpeakRequest, SpeakRequestSchema, type SpeakResponse } from "./gen/avatar/v1/speak_pb.js";
import type { Voice } from "./gen/avatar/v1/voices_pb.js";
import { fromPlain, type Input, type Plain, toPlain } from "./plain.js";

/** What `speak` tells, told apart by `type`. */
export type SpeakEvent = EventOf<Extract<SpeakResponse["payload"], { case: string }>>;

/** Files in PEM for TLS; each may be left out. */
export interface TlsFiles {
  /** Certificates of the authorities that are trusted, in the place of the system's. */
  ca?: string;
  /** The certificate that this client shows, and its key. */
  cert?: string;
  key?: string;
}

/** How a client reaches the service. */
export interface ClientOptions {
  /** `HOST:PORT`. */
  server: string;
  /** True or files: TLS. Left out: plain text. */
  tls?: boolean | TlsFiles;
  /** Bearer token, or what makes one for each call. */
  token?: string | (() => string | Promise<string>);
  /** API key, in the place of a token. */
  apiKey?: string;
}

/** How a conversation survives its connection. */
export interface ConverseOptions {
  /** Seconds after a break in which resuming is tried; 0: not at all. Default 60; a service keeps a session for 120. */
  resumeWithin?: number;
}

const KEEPALIVE = { pingIntervalMs: 20_000, pingTimeoutMs: 10_000 };
const ONE_ANSWER = { timeoutMs: 10_000 }; // of a call with one answer; streams have no deadline

/** A client of one service. Its calls share a connection until that breaks. */
export class AvatarClient {
  readonly #options: ClientOptions;
  readonly #closing = new AbortController();
  #connection: Http2SessionManager;
  #calls: Client<typeof AvatarService>;

  constructor(options: ClientOptions) {
    this.#options = options;
    setMaxListeners(0, this.#closing.signal); // one for each open conversation
    this.#connection = this.#connect();
    this.#calls = this.#callsOver(this.#connection);
  }

  /** The generated client, for what has no method here, such as `animate`. Its errors are connect's. */
  get calls(): Client<typeof AvatarService> {
    return this.#calls;
  }

  /**
   * Begins a conversation. Nothing of `config` has to be given. Throws TypeError for a field that does not exist, and
   * `AvatarError` after `close`.
   */
  converse(config: Input<ConverseConfig> = {}, { resumeWithin = 60 }: ConverseOptions = {}): Conversation {
    if (this.#closing.signal.aborted) throw new AvatarError("CANCELLED", "the client is closed");
    let calls = this.#calls;
    // A stream is resumed over another connection, which a balancer may lead to another server.
    const open = (isAgain: boolean) => (calls = isAgain ? this.#renew(calls) : calls);
    return new Conversation(open, config, resumeWithin, this.#closing.signal);
  }

  /** Has a text spoken. Throws `AvatarError`. */
  async *speak(request: Input<SpeakRequest> & { text: string }): AsyncGenerator<SpeakEvent, void, undefined> {
    const message = create(SpeakRequestSchema, fromPlain(SpeakRequestSchema, request));
    try {
      for await (const { payload } of this.#calls.speak(message)) {
        if (payload.case) yield { type: payload.case, ...toPlain(payload.value) } as SpeakEvent;
      }
    } catch (error) {
      throw asAvatarError(error);
    }
  }

  /** The avatars that there are. Throws `AvatarError`. */
  async avatars(): Promise<Plain<Avatar>[]> {
    return pages((pageToken) => this.#calls.listAvatars({ pageToken }, ONE_ANSWER), (page) => page.avatars);
  }

  /** The voices that there are. Throws `AvatarError`. */
  async voices(): Promise<Plain<Voice>[]> {
    return pages((pageToken) => this.#calls.listVoices({ pageToken }, ONE_ANSWER), (page) => page.voices);
  }

  /** What the service offers. Throws `AvatarError`. */
  async info(): Promise<Plain<GetServerInfoResponse>> {
    try {
      return toPlain(await this.#calls.getServerInfo({}, ONE_ANSWER));
    } catch (error) {
      throw asAvatarError(error);
    }
  }

  /** Ends the conversations that are open, and closes the connection. */
  close(): void {
    this.#closing.abort();
    this.#connection.abort();
  }

  /** Calls over a connection that comes after that of `calls`; the old one ends with its last stream. */
  #renew(calls: Client<typeof AvatarService>): Client<typeof AvatarService> {
    if (calls === this.#calls) {
      this.#connection = this.#connect();
      this.#calls = this.#callsOver(this.#connection);
    }
    return this.#calls;
  }

  get #url(): string {
    return `${this.#options.tls ? "https" : "http"}://${this.#options.server}`;
  }

  #connect(): Http2SessionManager {
    const { ca, cert, key } = typeof this.#options.tls === "object" ? this.#options.tls : ({} as TlsFiles);
    const files = Object.entries({ ca, cert, key }).filter(([, path]) => path);
    const contents = files.map(([name, path]) => [name, readFileSync(path as string)]);
    return new Http2SessionManager(this.#url, KEEPALIVE, Object.fromEntries(contents));
  }

  #callsOver(sessionManager: Http2SessionManager): Client<typeof AvatarService> {
    const transport = createGrpcTransport({ baseUrl: this.#url, sessionManager, interceptors: [this.#credentials] });
    return createClient(AvatarService, transport);
  }

  readonly #credentials: Interceptor = (next) => async (request) => {
    const { token, apiKey } = this.#options;
    if (apiKey) request.header.set("x-api-key", apiKey);
    if (token) request.header.set("authorization", `Bearer ${typeof token === "string" ? token : await token()}`);
    return next(request);
  };
}

/** Everything of a list that comes by pages. */
async function pages<Page extends { nextPageToken: string }, Item extends Message>(
  ask: (pageToken: string) => Promise<Page>,
  itemsOf: (page: Page) => Item[],
): Promise<Plain<Item>[]> {
  const items: Item[] = [];
  let pageToken = "";
  try {
    do {
      const page = await ask(pageToken);
      items.push(...itemsOf(page));
      pageToken = page.nextPageToken;
    } while (pageToken);
  } catch (error) {
    throw asAvatarError(error);
  }
  return items.map(toPlain);
}
