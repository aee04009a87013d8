// A service in this process, on a real socket, that does what a test says.

import { createServer, type Http2Server, type ServerHttp2Session } from "node:http2";
import type { AddressInfo } from "node:net";
import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { Code as ConnectCode, ConnectError, type ServiceImpl } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { AvatarService } from "#lib/gen/avatar/v1/avatar_service_pb.js";
import type { ConverseRequest, ConverseResponseSchema } from "#lib/gen/avatar/v1/converse_pb.js";
import { StatusSchema } from "#lib/gen/avatar/v1/status_pb.js";

/** What a scripted service answers. */
export type Response = MessageInitShape<typeof ConverseResponseSchema>;
/** One stream: takes what the client sends after its configuration, gives what it gets; `streams` counts from 1. */
export type Converse = (requests: AsyncIterator<ConverseRequest>, streams: number) => AsyncGenerator<Response>;

/** A running service; `requests` holds what every stream was sent. */
export class Service {
  readonly requests: ConverseRequest["payload"][][] = [];
  readonly headers: Headers[] = [];
  readonly #server: Http2Server;
  readonly #sessions = new Set<ServerHttp2Session>();

  constructor(converse: Converse, others: Partial<ServiceImpl<typeof AvatarService>> = {}) {
    const { requests, headers } = this;
    const routes = connectNodeAdapter({
      routes: (router) =>
        router.service(AvatarService, {
          ...others,
          async *converse(incoming, context) {
            const received: ConverseRequest["payload"][] = [];
            requests.push(received);
            headers.push(context.requestHeader);
            const rest = noted(incoming, received);
            await rest.next(); // the configuration
            yield* converse(rest, requests.length) as AsyncGenerator<never>;
          },
        }),
    });
    this.#server = createServer(routes).on("session", (session) => this.#sessions.add(session));
  }

  /** Listens on a free port; returns `HOST:PORT`. */
  async start(): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Breaks every connection. */
  cut(): void {
    for (const session of this.#sessions) session.destroy();
  }

  /** Ends it. */
  stop(): void {
    this.#server.close();
    this.cut();
  }
}

async function* noted(incoming: AsyncIterable<ConverseRequest>, received: ConverseRequest["payload"][]) {
  for await (const request of incoming) {
    received.push(request.payload);
    yield request;
  }
}

/** What a call fails with that the service refuses: the status of the contract in the trailing metadata. */
export function refusal(code: ConnectCode, status: MessageInitShape<typeof StatusSchema>): ConnectError {
  const message = status.message ?? "";
  const details = toBinary(StatusSchema, create(StatusSchema, { ...status, code: code as number }));
  return new ConnectError(message, code, { "grpc-status-details-bin": Buffer.from(details).toString("base64") });
}

/** The first response. */
export function started(token = "t1", more: object = {}): Response {
  return { payload: { case: "sessionStarted", value: { sessionId: "s-1", resumeToken: token, ...more } } };
}

/** A chunk of 40 ms of the avatar's voice. */
export function voice(turnId: bigint, index: number): Response {
  const offset = { seconds: 0n, nanos: index * 40_000_000 };
  const value = { turnId, index: BigInt(index), offset, sampleCount: 960, data: new Uint8Array(1920) };
  return { payload: { case: "audio", value } };
}
