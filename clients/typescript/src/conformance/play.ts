// Plays one wire script. The format is described in tests/conformance/README.md.

import { readFileSync } from "node:fs";
import { basename, dirname } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { JsonObject, JsonValue, Message } from "@bufbuild/protobuf";
import { fromJson, isFieldSet, toBinary, toJson } from "@bufbuild/protobuf";
import type { Http2SessionManager } from "@connectrpc/connect-node";
import { methodOf, WireCall } from "./call.js";
import { difference, found, substituted } from "./matching.js";
import { pieces, type Sound } from "./sound.js";

const WITHIN_MS = 10_000;
const DEADLINE_MS = 60_000;

/** What is printed of a script. */
export interface Outcome {
  case: string;
  passed: boolean;
  ms: number;
  failure: string;
}

/** A step as it stands in a script. */
interface Step {
  call?: string;
  metadata?: Record<string, string>;
  deadline_ms?: number;
  send?: JsonObject;
  send_raw?: string;
  send_audio?: Sound;
  half_close?: true;
  cancel?: true;
  pause_reading_ms?: number;
  expect?: JsonObject;
  expect_end?: JsonObject;
  within_ms?: number;
  count?: number;
  never?: (string | JsonObject)[];
  save?: Record<string, string>;
}

/** Plays a script to its end or its first failure. */
export async function play(connection: Http2SessionManager, script: string): Promise<Outcome> {
  const began = performance.now();
  const { steps } = JSON.parse(readFileSync(script, "utf-8")) as { steps: Step[] };
  const playing = new Play(connection, dirname(script));
  let failure = "";
  for (const [at, step] of steps.entries()) {
    try {
      await playing.step(step);
    } catch (error) {
      failure = `step ${at + 1}, ${Object.keys(step)[0]}: ${error instanceof Error ? error.message : error}`;
      break;
    }
  }
  playing.close();
  const ms = Math.round(performance.now() - began);
  return { case: basename(script, ".json"), passed: !failure, ms, failure };
}

class Play {
  readonly #connection: Http2SessionManager;
  readonly #folder: string;
  readonly #variables = new Map<string, JsonValue>();
  #call: WireCall | undefined;

  constructor(connection: Http2SessionManager, folder: string) {
    this.#connection = connection;
    this.#folder = folder;
  }

  /** Plays one step. Throws what is not as the script says. */
  async step(step: Step): Promise<void> {
    if (step.call) {
      this.close();
      const deadline = step.deadline_ms ?? DEADLINE_MS;
      this.#call = new WireCall(this.#connection, methodOf(step.call), step.metadata ?? {}, deadline);
      return;
    }
    const call = this.#open;
    if (step.send) call.send(this.#encoded(call, substituted(step.send, this.#variables)));
    else if (step.send_raw !== undefined) call.send(Buffer.from(step.send_raw, "base64"));
    else if (step.send_audio) {
      for (const piece of pieces(step.send_audio, this.#folder)) {
        call.send(this.#encoded(call, { audio: { data: piece.toString("base64") } }));
      }
    } else if (step.half_close) call.halfClose();
    else if (step.cancel) call.cancel();
    else if (step.pause_reading_ms) await sleep(step.pause_reading_ms);
    else await this.#readFor(call, step);
  }

  /** Cancels what is still open. */
  close(): void {
    this.#call?.cancel();
  }

  get #open(): WireCall {
    if (!this.#call) throw new Error("needs a call before it");
    return this.#call;
  }

  #encoded(call: WireCall, message: JsonValue): Uint8Array {
    return toBinary(call.method.input, fromJson(call.method.input, message));
  }

  /** Reads for a step, within its time. */
  async #readFor(call: WireCall, step: Step): Promise<void> {
    const reading = new Reading(call, step, this.#variables);
    const ms = step.within_ms ?? WITHIN_MS;
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error(`did not come within ${ms} ms; ${reading.told}`)), ms);
    });
    try {
      await Promise.race([reading.done(), late]);
    } finally {
      clearTimeout(timer);
    }
  }
}

/** The reading of one step, `expect` or `expect_end`. */
class Reading {
  readonly #call: WireCall;
  readonly #step: Step;
  readonly #variables: Map<string, JsonValue>;
  readonly #seen = new Map<string, number>();
  #nearest = "";

  constructor(call: WireCall, step: Step, variables: Map<string, JsonValue>) {
    this.#call = call;
    this.#step = step;
    this.#variables = variables;
  }

  /** What came so far, in words. */
  get told(): string {
    const came = [...this.#seen].map(([name, count]) => `${count} ${name}`).join(", ") || "nothing";
    return `came: ${came}${this.#nearest && `; nearest: ${this.#nearest}`}`;
  }

  /** Reads what is expected. Throws if it does not come. */
  async done(): Promise<void> {
    if (this.#step.expect) await this.#expect(this.#filled(this.#step.expect));
    else if (this.#step.expect_end) await this.#expectEnd(this.#step.expect_end);
    else throw new Error("is no step that is known");
  }

  async #expect(expected: JsonObject): Promise<void> {
    for (let missing = this.#step.count ?? 1; missing; ) {
      const response = await this.#read();
      if (!response) {
        const { code, message } = this.#call.end;
        throw new Error(`the call ended first: ${code} ${message}; ${this.told}`);
      }
      if (!this.#has(response, expected)) continue;
      const actual = this.#json(response);
      const different = difference(expected, actual);
      if (different) this.#nearest = different;
      else if (!--missing) this.#save(actual);
    }
  }

  async #expectEnd(expected: JsonObject): Promise<void> {
    while (await this.#read());
    const { code, message, status } = this.#call.end;
    const actual = {
      code,
      reason: status?.errorInfo?.reason ?? "",
      field: status?.field ?? "",
      retry: status?.retryDelay !== undefined,
    };
    const different = difference(expected, actual);
    if (different) throw new Error(`${different} (${code}: ${message})`);
  }

  /** The next response. Throws for one that must not come. */
  async #read(): Promise<Message | undefined> {
    const response = await this.#call.read();
    if (!response) return undefined;
    for (const name of this.#names(response)) this.#seen.set(name, (this.#seen.get(name) ?? 0) + 1);
    for (const never of this.#step.never ?? []) {
      const unwanted = typeof never === "string" ? { [never]: { $present: true } } : this.#filled(never);
      if (this.#has(response, unwanted) && !difference(unwanted, this.#json(response))) {
        throw new Error(`${JSON.stringify(never)} came, which must not`);
      }
    }
    return response;
  }

  #save(actual: JsonObject): void {
    for (const [name, path] of Object.entries(this.#step.save ?? {})) {
      const value = found(actual, path);
      if (value === undefined) throw new Error(`cannot save ${name}: no ${path}`);
      this.#variables.set(name, value);
    }
  }

  #filled(value: JsonObject): JsonObject {
    return substituted(value, this.#variables) as JsonObject;
  }

  #names(response: Message): string[] {
    const { fields } = this.#call.method.output;
    return fields.filter((field) => isFieldSet(response, field)).map((field) => field.name);
  }

  /** Whether it is worth comparing: media in JSON cost more than everything else. */
  #has(response: Message, expected: JsonObject): boolean {
    const names = this.#names(response);
    return Object.entries(expected).every(([name, item]) => item === null || names.includes(name));
  }

  #json(response: Message): JsonObject {
    return toJson(this.#call.method.output, response, { useProtoFieldName: true }) as JsonObject;
  }
}
