// What can go wrong with a call, as one class.

import { fromBinary } from "@bufbuild/protobuf";
import { Code as ConnectCode, ConnectError } from "@connectrpc/connect";
import { Code, type Status, StatusSchema } from "./gen/avatar/v1/status_pb.js";
import { seconds } from "./plain.js";

/** The name of a gRPC status other than OK. */
export type ErrorCode = Exclude<keyof typeof Code, "UNSPECIFIED" | "OK">;

/** The facts of an `AvatarError` beside its message. */
export interface ErrorFacts {
  reason?: string;
  field?: string;
  retryDelay?: number | undefined;
  metadata?: Record<string, string>;
  cause?: unknown;
}

/** A call failed, or what was asked of this library is not possible any more. */
export class AvatarError extends Error {
  override readonly name = "AvatarError";
  /** The gRPC status, such as `RESOURCE_EXHAUSTED`. */
  readonly code: ErrorCode;
  /** The service's own word for it, such as `SESSIONS_EXHAUSTED`; empty if the service said nothing. */
  readonly reason: string;
  /** Path of the field at fault, such as `config.turn_taking.threshold`; empty if none is. */
  readonly field: string;
  /** Seconds to wait before trying again; undefined if no time is known. */
  readonly retryDelay: number | undefined;
  /** Facts about this case, such as the `error_id` of a fault of the service. */
  readonly metadata: Record<string, string>;

  constructor(code: ErrorCode, message: string, facts: ErrorFacts = {}) {
    super(message, { cause: facts.cause });
    this.code = code;
    this.reason = facts.reason ?? "";
    this.field = facts.field ?? "";
    this.retryDelay = facts.retryDelay;
    this.metadata = facts.metadata ?? {};
  }
}

// What connect-node itself says of a connection that was closed, of one that was reset (`ECONNRESET`), and of a stream
// that ends in the middle of a message. Nobody here cancels a call that is still wanted.
const BROKEN_CODES = [ConnectCode.Canceled, ConnectCode.Aborted, ConnectCode.InvalidArgument];

/** `error` as an `AvatarError`; anything that is not of a call is returned as it is. */
export function asAvatarError(error: unknown): unknown {
  if (!(error instanceof ConnectError)) return error;
  if (BROKEN_CODES.includes(error.code) && !error.metadata.has("grpc-status")) {
    return new AvatarError("UNAVAILABLE", `the connection broke: ${error.rawMessage}`, { cause: error });
  }
  const status = statusOf(error);
  return new AvatarError(Code[error.code] as ErrorCode, status?.message || error.rawMessage, {
    reason: status?.errorInfo?.reason ?? "",
    field: status?.field ?? "",
    retryDelay: status?.retryDelay && seconds(status.retryDelay),
    metadata: status?.errorInfo?.metadata ?? {},
    cause: error,
  });
}

/** The `avatar.v1.Status` in the trailing metadata of a failed call, undefined if there is none. */
function statusOf(error: ConnectError): Status | undefined {
  const trailer = error.metadata.get("grpc-status-details-bin");
  if (!trailer) return undefined;
  try {
    return fromBinary(StatusSchema, Buffer.from(trailer, "base64"));
  } catch {
    return undefined; // a proxy's own
  }
}

const PASSING_REASONS = [
  "SESSION_AGE_REACHED",
  "SESSIONS_EXHAUSTED", // the place that the broken stream still holds will be free soon
  "QUOTA_EXHAUSTED",
  "MESSAGE_RATE_EXCEEDED",
  "DRAINING", // another server takes it
];
// What proxies, load balancers and gRPC itself say of a connection that went away.
const TRANSPORT_CODES: ErrorCode[] = ["CANCELLED", "INTERNAL", "UNKNOWN", "DEADLINE_EXCEEDED"];

/** Whether another stream may go on where this error ended one. */
export function isMendable(error: unknown): error is AvatarError {
  if (!(error instanceof AvatarError)) return false;
  if (error.code === "UNAVAILABLE" || PASSING_REASONS.includes(error.reason)) return true;
  return !error.reason && TRANSPORT_CODES.includes(error.code);
}
