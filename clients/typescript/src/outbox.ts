// Requests that wait to be sent, and those that may have to be sent again because the service did not acknowledge them:
// audio until `audioReceived` passes it, a text or `say` until a turn with its `requestId` begins, an update until
// `configUpdated`, an interrupt until `interrupted`. Results of tools are of no use on another stream.

import { create } from "@bufbuild/protobuf";
import { AvatarError } from "./errors.js";
import type { ConversationEvent } from "./events.js";
import { type ConverseRequest, UserAudioSchema } from "./gen/avatar/v1/converse_pb.js";
import { AudioEncoding, InterruptionReason } from "./gen/avatar/v1/media_pb.js";
import { NoticeReason } from "./gen/avatar/v1/status_pb.js";

/** What a request carries. */
export type Payload = Extract<ConverseRequest["payload"], { case: string }>;

interface Entry {
  payload: Payload;
  number: number;
  /** Samples of user audio before this, and of its own. */
  start: number;
  samples: number;
}

const MOST_KEPT_AUDIO = 90; // seconds: the longest utterance, acknowledged at its end, and half a minute of outage
const MOST_WAITING = 64; // requests other than audio
const JOINED_BYTES = 32_000; // of audio that is sent again
const OPUS = { rate: 48_000, samples: 960 }; // a packet, as most encoders make them

/** Requests in the order in which they were made. */
export class Outbox {
  readonly #encoding: AudioEncoding;
  readonly #rate: number;
  #waiting: Entry[] = [];
  #sent: Entry[] = [];
  #position = 0;
  #number = 0;

  constructor(encoding: AudioEncoding = AudioEncoding.LINEAR16, rate = 16_000) {
    this.#encoding = encoding || AudioEncoding.LINEAR16;
    this.#rate = encoding === AudioEncoding.OPUS ? OPUS.rate : rate || 16_000;
  }

  /** Seconds of audio that wait to be sent. */
  get waiting(): number {
    return samplesOf(this.#waiting) / this.#rate;
  }

  /** Whether nothing waits to be sent, nor, audio aside, for its answer. */
  get isAnswered(): boolean {
    return !this.#waiting.length && this.#sent.every(isSpeech);
  }

  /** Puts a request at the end. Throws if too many wait. */
  add(payload: Payload): void {
    const others = this.#waiting.filter((entry) => entry.payload.case !== "audio").length;
    if (payload.case !== "audio" && others >= MOST_WAITING) {
      throw new AvatarError("RESOURCE_EXHAUSTED", `${MOST_WAITING} requests wait for the connection: send no more`);
    }
    const samples = payload.case === "audio" ? this.#samples(payload.value.data) : 0;
    this.#waiting.push({ payload, number: this.#number++, start: this.#position, samples });
    this.#position += samples;
    while (samplesOf(this.#sent) + samplesOf(this.#waiting) > MOST_KEPT_AUDIO * this.#rate) this.#dropOldestAudio();
  }

  /** The next request to send, audio joined to what follows it; undefined if none waits. */
  take(): Payload | undefined {
    const first = this.#shift();
    if (first?.payload.case !== "audio" || this.#encoding === AudioEncoding.OPUS) return first?.payload;
    const pieces = [first.payload.value.data];
    let size = first.payload.value.data.length;
    for (let next = this.#waiting[0]; next?.payload.case === "audio"; next = this.#waiting[0]) {
      size += next.payload.value.data.length;
      if (size > JOINED_BYTES) break;
      pieces.push(next.payload.value.data);
      this.#shift();
    }
    return pieces.length === 1 ? first.payload : audio(Buffer.concat(pieces));
  }

  /** Lets go of what an event acknowledges. */
  settle(event: ConversationEvent): void {
    if (event.type === "audioReceived") {
      const end = Math.round((event.offset ?? 0) * this.#rate);
      const opens = (entry: Entry) => entry.payload.case === "utteranceStarted" && entry.start === end;
      this.#sent = this.#sent.filter((entry) => !isSpeech(entry) || entry.start + entry.samples > end || opens(entry));
    } else if (event.type === "turnStarted" && event.requestId) {
      this.#sent = this.#sent.filter((entry) => requestId(entry.payload) !== event.requestId);
    } else if (event.type === "configUpdated") {
      this.#forget("configUpdate");
    } else if (event.type === "interrupted" && event.reason <= InterruptionReason.REQUESTED) {
      this.#sent = this.#sent.filter(({ payload }) => payload.case !== "say" && payload.case !== "interrupt");
    } else if (event.type === "notice" && event.reason === NoticeReason.REQUEST_IGNORED) {
      this.#forget("interrupt");
    } else if (event.type === "notice" && event.reason === NoticeReason.SAY_QUEUE_FULL) {
      this.#forget("say");
    }
  }

  /** Makes everything wait again that is not acknowledged; of the audio, what lies behind `offset` seconds. */
  rewind(offset: number): void {
    const from = Math.round(offset * this.#rate);
    const entries = [...this.#sent, ...this.#waiting].sort((one, other) => one.number - other.number);
    this.#sent = [];
    this.#waiting = entries.filter((entry) => isAhead(entry, from)).map((entry) => this.#cut(entry, from));
    // The service's count holds: audio that was dropped here never reached it.
    this.#position = from;
    for (const entry of this.#waiting) {
      entry.start = this.#position;
      this.#position += entry.samples;
    }
  }

  #shift(): Entry | undefined {
    const entry = this.#waiting.shift();
    if (entry && entry.payload.case !== "toolResults") this.#sent.push(entry);
    return entry;
  }

  #forget(kind: Payload["case"]): void {
    const at = this.#sent.findIndex((entry) => entry.payload.case === kind);
    if (at >= 0) this.#sent.splice(at, 1);
  }

  #dropOldestAudio(): void {
    const entries = this.#sent.some((entry) => entry.samples) ? this.#sent : this.#waiting;
    entries.splice(entries.findIndex((entry) => entry.samples), 1);
  }

  /** An entry without the samples before `from`; a packet of Opus stays whole. */
  #cut(entry: Entry, from: number): Entry {
    const gone = from - entry.start;
    if (entry.payload.case !== "audio" || gone <= 0 || this.#encoding === AudioEncoding.OPUS) return entry;
    const payload = audio(entry.payload.value.data.subarray(gone * this.#sampleBytes));
    return { ...entry, payload, samples: entry.samples - gone };
  }

  #samples(data: Uint8Array): number {
    return this.#encoding === AudioEncoding.OPUS ? OPUS.samples : Math.floor(data.length / this.#sampleBytes);
  }

  get #sampleBytes(): number {
    return this.#encoding === AudioEncoding.MULAW ? 1 : 2;
  }
}

/** A request with a piece of the user's voice. */
export function audio(data: Uint8Array): Payload {
  return { case: "audio", value: create(UserAudioSchema, { data }) };
}

function samplesOf(entries: Entry[]): number {
  return entries.reduce((sum, entry) => sum + entry.samples, 0);
}

function isSpeech({ payload }: Entry): boolean {
  return payload.case === "audio" || payload.case === "utteranceStarted" || payload.case === "utteranceEnded";
}

/** Whether a request has to be sent again to a service that has the audio up to `from`. */
function isAhead(entry: Entry, from: number): boolean {
  if (!isSpeech(entry)) return entry.payload.case !== "toolResults";
  return entry.start + entry.samples > from || (entry.payload.case === "utteranceStarted" && entry.start === from);
}

function requestId(payload: Payload): string {
  return payload.case === "text" || payload.case === "say" ? payload.value.requestId : "";
}
