// What a conversation tells: the responses of the contract as plain values, and what becomes of the connection.

import type { AvatarError } from "./errors.js";
import type { ConverseResponse } from "./gen/avatar/v1/converse_pb.js";
import type { SessionStarted } from "./gen/avatar/v1/session_pb.js";
import { type Plain, toPlain } from "./plain.js";

type Payload<T extends { payload: unknown }> = Extract<T["payload"], { case: string }>;
/** The payloads of a response as a union that is told apart by `type`. */
export type EventOf<P> = P extends { case: infer Type; value: infer Value } ? { type: Type } & Plain<Value> : never;

/** The connection broke. Flush what waits to be played: what was not heard is spoken again after `resumed`. */
export interface ConnectionLost {
  type: "connectionLost";
  error: AvatarError;
  /** The turn that was played, 0 if none was, and how much of it was heard. */
  turnId: number;
  played: number;
}

/** The session goes on, on another stream: after a break, or because the service asked for it. */
export type Resumed = { type: "resumed" } & Plain<SessionStarted>;

/** What a conversation tells, told apart by `type`. Times are seconds, ids numbers, enums those of the contract. */
export type ConversationEvent = EventOf<Payload<ConverseResponse>> | ConnectionLost | Resumed;

/** The event of one `type`. */
export type EventOfType<Type extends ConversationEvent["type"]> = Extract<ConversationEvent, { type: Type }>;

/** The event of a response; undefined if it is of a newer contract than this library. */
export function toEvent(response: ConverseResponse): ConversationEvent | undefined {
  const { payload } = response;
  if (payload.case === undefined) return undefined;
  return { type: payload.case, ...toPlain(payload.value) } as ConversationEvent;
}
