// One conversation, as a program holds it.

import { randomUUID } from "node:crypto";
import { create } from "@bufbuild/protobuf";
import type { ConversationEvent, EventOfType } from "./events.js";
import { ConverseRequestSchema, type ToolResult } from "./gen/avatar/v1/converse_pb.js";
import type { ConfigUpdate, ConverseConfig } from "./gen/avatar/v1/session_pb.js";
import { audio, type Payload } from "./outbox.js";
import { fromPlain, type Input } from "./plain.js";
import { type Open, ResumableStream } from "./stream.js";

const MOST_WAITING_AUDIO = 30; // seconds
const AUDIO_BYTES = 64_000; // the longest message of audio

/** How a text or a `say` is sent. */
export interface Asking {
  /** The caller's name for it, echoed by `turnStarted`; made up if left out. */
  requestId?: string;
}

/** How something is said as it stands. */
export interface Saying extends Asking {
  /** Say it at once in the place of what is being spoken. */
  interrupt?: boolean;
  /** The chat model does not learn that it was said. */
  omitFromHistory?: boolean;
}

/**
 * A conversation with an avatar: iterate over it, once, for what it tells. Leaving the loop ends it. Events wait while
 * nobody takes them; behind 256 of them the service is slowed down. Play-out is reported to the service by itself.
 */
export class Conversation implements AsyncIterable<ConversationEvent> {
  readonly #stream: ResumableStream;

  /** @internal `AvatarClient.converse` makes conversations. */
  constructor(open: Open, config: Input<ConverseConfig>, resumeWithin: number, closing: AbortSignal) {
    this.#stream = new ResumableStream(open, config, resumeWithin, closing);
  }

  /** What is in force; undefined until `sessionStarted`. */
  get session(): EventOfType<"sessionStarted"> | undefined {
    return this.#stream.session;
  }

  /** Sends user audio, encoded as `inputAudio` says (`OPUS`: one packet). Waits while 30 s of it wait to go out. */
  async sendAudio(data: Uint8Array): Promise<void> {
    for (let at = 0; at < data.length; at += AUDIO_BYTES) this.#stream.send(audio(data.subarray(at, at + AUDIO_BYTES)));
    while (this.#stream.outbox.waiting >= MOST_WAITING_AUDIO && !this.#stream.isOver) await this.#stream.change();
  }

  /** Sends what the user typed, which stops what is spoken. Returns its `requestId`. */
  sendText(text: string, { requestId = randomUUID() }: Asking = {}): string {
    this.#send("text", { text, requestId });
    return requestId;
  }

  /** Has the avatar say something as it stands, after all that waits or at once. Returns its `requestId`. */
  say(text: string, { requestId = randomUUID(), ...how }: Saying = {}): string {
    this.#send("say", { text, requestId, ...how });
    return requestId;
  }

  /** Stops what is spoken, or the turn of that id alone. */
  interrupt(turnId = 0): void {
    this.#send("interrupt", { turnId });
  }

  /** Says that the user begins to speak. With manual turn taking alone. */
  beginUtterance(): void {
    this.#send("utteranceStarted", {});
  }

  /** Says that the user has finished speaking. With manual turn taking alone. */
  endUtterance(): void {
    this.#send("utteranceEnded", {});
  }

  /** Changes the configuration from the next turn on; answered by `configUpdated`. */
  update(changes: Input<ConfigUpdate>): void {
    this.#send("configUpdate", changes);
  }

  /** Answers `toolCalls`. */
  sendToolResults(...results: Input<ToolResult>[]): void {
    this.#send("toolResults", { results });
  }

  /** Tells how many seconds of a turn a player has played; without it media count as played in real time once taken. */
  played(turnId: number, position: number): void {
    this.#stream.clock.correct(turnId, position, performance.now() / 1000);
  }

  /** Nothing more will be sent: what is being said and what waits is finished, then the conversation ends. */
  endInput(): void {
    this.#stream.inputEnded = true;
    this.#stream.changed();
  }

  /** Ends the conversation at once. */
  close(): void {
    this.#stream.end();
  }

  /** What the conversation tells. Throws `AvatarError` if it fails. */
  async *[Symbol.asyncIterator](): AsyncGenerator<ConversationEvent, void, undefined> {
    try {
      for (let event = await this.#stream.take(); event; event = await this.#stream.take()) yield event;
    } finally {
      this.close();
    }
  }

  #send(kind: Payload["case"], values: object): void {
    const schema = ConverseRequestSchema.field[kind].message;
    if (!schema) throw new TypeError(`${kind} is no message`);
    this.#stream.send({ case: kind, value: create(schema, fromPlain(schema, values)) } as Payload);
  }
}
