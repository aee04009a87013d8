// Messages of the contract as plain values: int64 as number, durations in seconds as number, nothing else changed.

import { create, type DescMessage, type Message, type MessageInitShape, ScalarType } from "@bufbuild/protobuf";
import type { Duration } from "@bufbuild/protobuf/wkt";

const DURATION = "google.protobuf.Duration";

/** A message as it is received: every field that has a default is there. */
export type Plain<T> = T extends bigint | Duration
  ? number
  : T extends Uint8Array
    ? T
    : T extends (infer Element)[]
      ? Plain<Element>[]
      : T extends Message
        ? { [Key in keyof T as Exclude<Key, "$typeName" | "$unknown">]: Plain<T[Key]> }
        : T;

/** A message as it is given: every field may be left out. */
export type Input<T> = T extends bigint | Duration
  ? number
  : T extends Uint8Array
    ? T
    : T extends (infer Element)[]
      ? Input<Element>[]
      : T extends Message
        ? { [Key in keyof T as Exclude<Key, "$typeName" | "$unknown">]?: Input<T[Key]> }
        : T;

/** Seconds of a duration; 0 of none. */
export function seconds(duration: Duration | undefined): number {
  return duration ? Number(duration.seconds) + duration.nanos / 1e9 : 0;
}

/** A duration of so many seconds, as a message is initialised with it. */
export function duration(value: number): { seconds: bigint; nanos: number } {
  const nanos = Math.round(value * 1e9);
  return { seconds: BigInt(Math.trunc(nanos / 1e9)), nanos: nanos % 1e9 };
}

/** The plain values of a received message. Bytes are not copied. */
export function toPlain<T extends Message>(message: T): Plain<T> {
  return plain(message) as Plain<T>;
}

function plain(value: unknown): unknown {
  if (typeof value === "bigint") return Number(value);
  if (typeof value !== "object" || value === null || value instanceof Uint8Array) return value;
  if (Array.isArray(value)) return value.map(plain);
  if ("$typeName" in value && value.$typeName === DURATION) return seconds(value as Duration);
  const fields = Object.entries(value).filter(([name]) => name !== "$typeName" && name !== "$unknown");
  return Object.fromEntries(fields.map(([name, field]) => [name, plain(field)]));
}

/** The message of plain values. Throws if a value has another type than its field. */
export function fromPlain<S extends DescMessage>(schema: S, values: object): MessageInitShape<S> {
  const init: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(values)) {
    if (value === undefined) continue;
    const field = schema.field[name];
    if (!field) throw new TypeError(`${schema.typeName} has no field ${name}`);
    const one = (element: unknown): unknown => {
      if (field.message?.typeName === DURATION) return duration(element as number);
      if (field.message) return fromPlain(field.message, element as object);
      return field.scalar === ScalarType.INT64 ? BigInt(element as number) : element;
    };
    if (field.fieldKind === "list") init[name] = (value as unknown[]).map(one);
    else init[name] = field.fieldKind === "map" ? value : one(value);
  }
  return create(schema, init as MessageInitShape<S>) as MessageInitShape<S>;
}
