// What lies between a conversation and the service: one stream after another that go on with the same session.

import { create } from "@bufbuild/protobuf";
import { type Client, Code, ConnectError } from "@connectrpc/connect";
import { asAvatarError, AvatarError, isMendable } from "./errors.js";
import { type ConversationEvent, type EventOfType, toEvent } from "./events.js";
import type { AvatarService } from "./gen/avatar/v1/avatar_service_pb.js";
import { type ConverseRequest, ConverseRequestSchema } from "./gen/avatar/v1/converse_pb.js";
import { PlaybackReportSchema } from "./gen/avatar/v1/media_pb.js";
import { type ConverseConfig, ConverseConfigSchema } from "./gen/avatar/v1/session_pb.js";
import { Inbox } from "./inbox.js";
import { Outbox, type Payload } from "./outbox.js";
import { fromPlain, type Input } from "./plain.js";
import { type Playback, PlayOutClock } from "./play_out.js";
import { Trouble } from "./trouble.js";

const MOST_UNREAD = 256; // events; about 5 s of media, the longest lead of the contract
const REPORT_MS = 200;
const START_MS = 20_000; // for the first response of a stream

/** Opens a client; `isAgain` if the stream of the one before has ended. */
export type Open = (isAgain: boolean) => Client<typeof AvatarService>;

/** A stream of requests and events that outlives its connections. */
export class ResumableStream {
  readonly outbox: Outbox;
  readonly clock = new PlayOutClock();
  session: EventOfType<"sessionStarted"> | undefined;
  inputEnded = false;
  isOver = false;
  readonly #open: Open;
  readonly #config: ConverseConfig;
  readonly #inbox = new Inbox<ConversationEvent>(MOST_UNREAD);
  readonly #trouble: Trouble;
  readonly #closing = new AbortController();
  readonly #waiting = new Set<() => void>();
  #reports: Playback[] = [];
  #reporting: NodeJS.Timeout | undefined;
  #token = "";
  #underWay = new Set<string>(); // turns and utterances
  #completed = 0; // the last turn that was
  #isLeaving = false;
  #isLost = false;

  constructor(open: Open, config: Input<ConverseConfig>, resumeWithin: number, closing: AbortSignal) {
    this.#open = open;
    this.#config = create(ConverseConfigSchema, fromPlain(ConverseConfigSchema, config));
    this.outbox = new Outbox(config.inputAudio?.encoding, config.inputAudio?.sampleRateHertz);
    this.#trouble = new Trouble(resumeWithin);
    closing.addEventListener("abort", () => this.end(), { signal: this.#closing.signal });
    void this.#run();
  }

  /** Puts a request where it is sent from. */
  send(payload: Payload): void {
    if (this.isOver) throw new AvatarError("CANCELLED", "the conversation has ended");
    if (this.inputEnded) throw new AvatarError("CANCELLED", "nothing can be sent after endInput()");
    this.outbox.add(payload);
    this.changed();
  }

  /** The next event, undefined after the last. Media count as played from here on. */
  async take(): Promise<ConversationEvent | undefined> {
    const event = await this.#inbox.take();
    if (event?.type === "audio") {
      const rate = this.session?.config?.outputAudio?.sampleRateHertz || 24_000;
      this.clock.add(event.turnId, event.sampleCount / rate, now());
    } else if (event?.type === "replyFinished") {
      this.clock.finish(event.turnId, now());
      this.#schedule();
    }
    return event;
  }

  /** Ends everything, with an error or well. */
  end(error?: unknown): void {
    this.isOver = true;
    this.#closing.abort();
    this.#inbox.end(error);
    clearTimeout(this.#reporting);
    this.changed();
  }

  /** Waits until something may have changed: a request made or sent, a session begun, the end. */
  change(): Promise<void> {
    return new Promise((resolve) => this.#waiting.add(resolve));
  }

  /** Wakes who waits for a change. */
  changed(): void {
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const resolve of waiting) resolve();
  }

  /** Goes from stream to stream until the conversation is over. */
  async #run(): Promise<void> {
    while (!this.isOver) {
      try {
        if (await this.#hold()) this.end();
      } catch (error) {
        const failure = asAvatarError(error);
        if (!this.#token || !this.#isMendable(failure) || !this.#trouble.isAllowed) return this.end(failure);
        await this.#break(failure);
        if (!(await this.#trouble.wait(failure.retryDelay, this.#closing.signal))) this.end(failure);
      }
    }
  }

  /** A stream that had begun may have outlived its token, and another one asks for the present token. */
  #isMendable(failure: unknown): failure is AvatarError {
    const hasExpired = failure instanceof AvatarError && failure.reason === "CREDENTIAL_EXPIRED";
    return isMendable(failure) || (hasExpired && !this.#isLost);
  }

  /** Holds one stream; returns whether the conversation is over with it. */
  async #hold(): Promise<boolean> {
    const stream = new AbortController();
    const stop = (): void => stream.abort();
    this.#closing.signal.addEventListener("abort", stop);
    const isLate = new ConnectError(`no answer within ${START_MS / 1000} s`, Code.DeadlineExceeded);
    const patience = setTimeout(() => stream.abort(isLate), START_MS);
    try {
      const client = this.#open(this.#token !== "");
      for await (const response of client.converse(this.#requests(stream.signal), { signal: stream.signal })) {
        clearTimeout(patience);
        const event = toEvent(response);
        if (event) await this.#receive(event);
        if (this.#isToBeLeft) return false;
      }
      return true;
    } finally {
      clearTimeout(patience);
      this.#closing.signal.removeEventListener("abort", stop);
      stream.abort();
      this.changed();
    }
  }

  /** What goes out on one stream, until it is over. */
  async *#requests(signal: AbortSignal): AsyncGenerator<ConverseRequest, void, undefined> {
    const before = this.session;
    yield request({ case: "config", value: this.#firstRequest() });
    while (before && this.session === before && !signal.aborted) await this.change();
    while (!signal.aborted) {
      const report = this.#reports.shift();
      const payload = report ? toReport(report) : this.outbox.take();
      if (payload) yield request(payload);
      else if (this.inputEnded) return;
      else await this.change();
      if (payload) this.changed(); // there is room
    }
  }

  #firstRequest(): ConverseConfig {
    if (!this.#token) return this.#config;
    const playback = this.clock.freeze(now());
    const resume = { resumeToken: this.#token, ...(playback && { playback }) };
    return create(ConverseConfigSchema, fromPlain(ConverseConfigSchema, { resume }));
  }

  /** Takes note of an event as it comes, and has it wait to be taken. */
  async #receive(event: ConversationEvent): Promise<void> {
    this.outbox.settle(event);
    if (event.type === "sessionStarted") return this.#begin(event);
    if (event.type === "goAway") {
      this.#isLeaving = true;
      this.#token = event.resumeToken || this.#token;
    } else if (event.type === "interrupted") {
      this.clock.interrupt(event.turnId, now());
      this.#flush();
      this.#report();
    }
    if (this.#isToldAgain(event)) return;
    this.#follow(event);
    if (!this.#isStale(event)) await this.#inbox.put(event);
  }

  /** A stream that is resumed tells the end of the last turn again. */
  #isToldAgain(event: ConversationEvent): boolean {
    if (event.type !== "turnCompleted") return false;
    const isKnown = event.turnId <= this.#completed;
    this.#completed = Math.max(event.turnId, this.#completed);
    return isKnown;
  }

  /** Takes note of what is under way. */
  #follow(event: ConversationEvent): void {
    if (event.type === "turnStarted") this.#underWay.add(`turn ${event.turnId}`);
    if (event.type === "turnCompleted") this.#underWay.delete(`turn ${event.turnId}`);
    if (event.type === "speechStarted") this.#underWay.add(`utterance ${event.utteranceId}`);
    if (event.type === "transcript" && event.final) this.#underWay.delete(`utterance ${event.utteranceId}`);
  }

  async #begin(started: EventOfType<"sessionStarted">): Promise<void> {
    const isResumed = this.session !== undefined;
    if (isResumed) {
      this.clock.restart(started.lastTurnId);
      this.outbox.rewind(started.audioReceivedOffset ?? 0);
      this.#trouble.mended();
      this.#underWay.clear();
      this.#reports = [];
      this.#flush();
    }
    this.session = started;
    this.#token = started.resumeToken;
    this.#isLeaving = this.#isLost = false;
    this.#schedule();
    this.changed();
    await this.#inbox.put(isResumed ? { ...started, type: "resumed" } : started);
  }

  /** Tells once that the stream broke, and stops play-out where it is. */
  async #break(error: AvatarError): Promise<void> {
    if (this.#isLost) return;
    this.#isLost = true;
    const { turnId = 0, position: played = 0 } = this.clock.freeze(now()) ?? {};
    this.#inbox.drop(isMedia);
    await this.#inbox.put({ type: "connectionLost", error, turnId, played });
  }

  /** Whether the service asked to go on elsewhere, and nothing is under way that is better finished here. */
  get #isToBeLeft(): boolean {
    const isQuiet = !this.#underWay.size && this.outbox.isAnswered;
    return this.#isLeaving && isQuiet && !this.inputEnded && this.#token !== "" && this.#trouble.isAllowed;
  }

  #isStale(event: ConversationEvent): boolean {
    return isMedia(event) && this.clock.isFlushed(event.turnId);
  }

  #flush(): void {
    this.#inbox.drop((event) => this.#isStale(event));
  }

  /** Reports play-out: of the turn that is played the newest position alone. */
  #report(): void {
    const news = this.clock.reports(now());
    const isOlder = (old: Playback) => !old.stopped && news.some((playback) => playback.turnId === old.turnId);
    this.#reports = [...this.#reports.filter((old) => !isOlder(old)), ...news];
    this.changed();
    this.#schedule();
  }

  /** Has the next report made in 200 ms, or when the turn ends. */
  #schedule(): void {
    clearTimeout(this.#reporting);
    if (this.isOver || this.inputEnded) return;
    const wait = Math.min(REPORT_MS, Math.ceil(this.clock.endsIn(now()) * 1000));
    this.#reporting = setTimeout(() => this.#report(), wait);
  }
}

/** Seconds of a clock that never goes back. */
function now(): number {
  return performance.now() / 1000;
}

function isMedia(event: ConversationEvent): event is EventOfType<"audio" | "frame" | "spokenText"> {
  return event.type === "audio" || event.type === "frame" || event.type === "spokenText";
}

function toReport(playback: Playback): Payload {
  return { case: "playbackReport", value: create(PlaybackReportSchema, fromPlain(PlaybackReportSchema, playback)) };
}

function request(payload: Payload): ConverseRequest {
  return create(ConverseRequestSchema, { payload });
}
