import assert from "node:assert/strict";
import { createServer } from "node:http2";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { Code, type ServiceImpl } from "@connectrpc/connect";
import { AvatarClient, type SpeakEvent } from "avatar-client";
import type { AvatarService } from "#lib/gen/avatar/v1/avatar_service_pb.js";
import { refusal, Service } from "./service.js";

/** Calls a scripted service. */
async function call(
  methods: Partial<ServiceImpl<typeof AvatarService>>,
  body: (client: AvatarClient, service: Service) => Promise<void>,
): Promise<void> {
  const service = new Service(async function* () {}, methods);
  const client = new AvatarClient({ server: await service.start(), apiKey: "k" });
  try {
    await body(client, service);
  } finally {
    client.close();
    service.stop();
  }
}

test("lists are read to their last page", async () => {
  const listAvatars = ({ pageToken }: { pageToken: string }) => {
    const page = Number(pageToken || 0);
    return { avatars: [{ name: `avatars/${page}` }], nextPageToken: page < 2 ? `${page + 1}` : "" };
  };
  await call({ listAvatars }, async (client) => {
    assert.deepEqual((await client.avatars()).map(({ name }) => name), ["avatars/0", "avatars/1", "avatars/2"]);
  });
});

test("a text is spoken: media and the end, with plain values", async () => {
  const speak: ServiceImpl<typeof AvatarService>["speak"] = async function* ({ text, pacing }) {
    assert.deepEqual([text, pacing?.lead?.nanos], ["Hello.", 200_000_000]);
    yield { payload: { case: "spokenText", value: { turnId: 1n, text, endOffset: { nanos: 400_000_000 } } } };
    yield { payload: { case: "turnCompleted", value: { turnId: 1n } } };
  };
  await call({ speak }, async (client) => {
    const events: SpeakEvent[] = [];
    for await (const event of client.speak({ text: "Hello.", pacing: { lead: 0.2 } })) events.push(event);
    assert.deepEqual(events.map(({ type }) => type), ["spokenText", "turnCompleted"]);
    assert.ok(events[0]?.type === "spokenText" && events[0].endOffset === 0.4);
  });
});

test("every call shows the key, and fails with the service's own reason", async () => {
  const seen: (string | null)[] = [];
  const getServerInfo: ServiceImpl<typeof AvatarService>["getServerInfo"] = (_, { requestHeader }) => {
    seen.push(requestHeader.get("x-api-key"));
    throw refusal(Code.Unauthenticated, { message: "revoked", errorInfo: { reason: "CREDENTIAL_INVALID" } });
  };
  await call({ getServerInfo }, async (client) => {
    await assert.rejects(client.info(), { name: "AvatarError", code: "UNAUTHENTICATED", reason: "CREDENTIAL_INVALID" });
    assert.deepEqual(seen, ["k"]);
  });
});

test("calls with one answer have a deadline, and streams have none", async () => {
  const left = new Map<string, number | undefined>();
  const methods: Partial<ServiceImpl<typeof AvatarService>> = {
    getServerInfo: (_, context) => (left.set("info", context.timeoutMs()), {}),
    listAvatars: (_, context) => (left.set("avatars", context.timeoutMs()), {}),
    listVoices: (_, context) => (left.set("voices", context.timeoutMs()), {}),
    async *speak(_, context) {
      left.set("speak", context.timeoutMs());
    },
  };
  await call(methods, async (client) => {
    await Promise.all([client.info(), client.avatars(), client.voices(), client.speak({ text: "Hello." }).next()]);
  });
  for (const name of ["info", "avatars", "voices"]) assert.ok((left.get(name) ?? Infinity) <= 10_000, name);
  assert.deepEqual([left.has("speak"), left.get("speak")], [true, undefined]);
});

test("a service that is not there is unavailable, at once", async () => {
  const client = new AvatarClient({ server: "127.0.0.1:1" });
  await assert.rejects(client.info(), { name: "AvatarError", code: "UNAVAILABLE" });
  await assert.rejects(client.converse()[Symbol.asyncIterator]().next(), { name: "AvatarError", code: "UNAVAILABLE" });
});

test("a stream that ends in the middle of a message is a connection that broke", async () => {
  const server = createServer().on("stream", (stream) => {
    stream.respond({ ":status": 200, "content-type": "application/grpc+proto" });
    stream.end(Buffer.from([0, 0, 0, 0, 9, 1])); // one byte of nine
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const client = new AvatarClient({ server: `127.0.0.1:${(server.address() as AddressInfo).port}` });
  try {
    await assert.rejects(client.speak({ text: "Hello." }).next(), { name: "AvatarError", code: "UNAVAILABLE" });
  } finally {
    client.close();
    server.close();
  }
});
