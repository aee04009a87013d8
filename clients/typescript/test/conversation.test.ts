import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { Code } from "@connectrpc/connect";
import { AvatarClient, AvatarError, type ConversationEvent, type ConverseOptions } from "avatar-client";
import { type Converse, refusal, type Response, Service, started, voice } from "./service.js";

type Case = Response["payload"];

/** Holds a conversation with a scripted service. */
async function talk(
  converse: Converse,
  body: (client: AvatarClient, service: Service) => Promise<void>,
): Promise<void> {
  const service = new Service(converse);
  const client = new AvatarClient({ server: await service.start(), token: () => "secret" });
  try {
    await body(client, service);
  } finally {
    client.close();
    service.stop();
  }
}

const response = (payload: Case): Response => ({ payload }) as Response;
const completed = (turnId: bigint) => response({ case: "turnCompleted", value: { turnId } });

test("events come with plain values, and the conversation ends with the service's OK", async () => {
  await talk(
    async function* () {
      yield started("t1", { limits: { maxUtterance: { seconds: 60n } } });
      yield voice(1n, 3);
    },
    async (client, service) => {
      const events: ConversationEvent[] = [];
      for await (const event of client.converse({ avatar: "avatars/ada", pacing: { lead: 0.5 } })) events.push(event);
      assert.deepEqual(events.map(({ type }) => type), ["sessionStarted", "audio"]);
      const [first, second] = events;
      assert.ok(first?.type === "sessionStarted" && first.limits?.maxUtterance === 60);
      assert.ok(second?.type === "audio" && second.turnId === 1 && second.offset === 0.12);
      const config = service.requests[0]?.[0];
      assert.ok(config?.case === "config" && config.value.avatar === "avatars/ada");
      assert.equal(config.value.pacing?.lead?.nanos, 500_000_000);
      assert.equal(service.headers[0]?.get("authorization"), "Bearer secret");
    },
  );
});

test("a refusal is an error with code, reason, field and time to wait", async () => {
  await talk(
    async function* () {
      throw refusal(Code.ResourceExhausted, {
        message: "all places are taken",
        errorInfo: { reason: "SESSIONS_EXHAUSTED", metadata: { limit: "2" } },
        retryDelay: { seconds: 1n, nanos: 500_000_000 },
        field: "config.avatar",
      });
    },
    async (client) => {
      await assert.rejects(client.converse()[Symbol.asyncIterator]().next(), (error) => {
        assert.ok(error instanceof AvatarError);
        const { code, reason, field, retryDelay, metadata, message } = error;
        assert.deepEqual(
          { code, reason, field, retryDelay, metadata, message },
          {
            code: "RESOURCE_EXHAUSTED", reason: "SESSIONS_EXHAUSTED", field: "config.avatar", retryDelay: 1.5,
            metadata: { limit: "2" }, message: "all places are taken",
          },
        );
        return true;
      });
    },
  );
});

test("media of an interrupted turn that nobody has taken are dropped, and play-out is reported at once", async () => {
  await talk(
    async function* (requests) {
      yield started();
      for (let index = 0; index < 5; index++) yield voice(1n, index);
      yield response({ case: "interrupted", value: { turnId: 1n } });
      yield voice(1n, 5); // a server must not; a client drops it all the same
      yield voice(2n, 0);
      for (let next = await requests.next(); !next.done; next = await requests.next()) {
        if (next.value.payload.case === "playbackReport" && next.value.payload.value.stopped) return;
      }
    },
    async (client, service) => {
      const conversation = client.converse();
      const sent = () => service.requests[0] ?? [];
      const reports = () => sent().flatMap(({ case: kind, value }) => (kind === "playbackReport" ? value : []));
      while (!reports().some(({ stopped }) => stopped)) await sleep(5);
      const events: ConversationEvent[] = [];
      for await (const event of conversation) events.push(event);
      assert.deepEqual(
        events.map((event) => (event.type === "audio" ? event.turnId : event.type)),
        ["sessionStarted", "interrupted", 2],
      );
      assert.equal(reports().find(({ stopped }) => stopped)?.turnId, 1n);
    },
  );
});

test("play-out is reported while a turn plays, and when it has ended", async () => {
  await talk(
    async function* (requests) {
      yield started();
      for (let index = 0; index < 8; index++) yield voice(1n, index); // 320 ms
      yield response({ case: "replyFinished", value: { turnId: 1n } });
      for (let next = await requests.next(); !next.done; next = await requests.next()) {
        if (next.value.payload.case === "playbackReport" && next.value.payload.value.stopped) return;
      }
    },
    async (client, service) => {
      for await (const _ of client.converse());
      const sent = service.requests[0] ?? [];
      const reports = sent.flatMap((payload) => (payload.case === "playbackReport" ? [payload.value] : []));
      assert.ok(reports.length >= 2);
      const last = reports.pop();
      assert.ok(reports.every(({ stopped }) => !stopped));
      assert.equal(last?.position?.nanos, 320_000_000);
    },
  );
});

test("a session goes on where its stream broke: token, position, what was not acknowledged", async () => {
  await talk(
    async function* (requests, streams) {
      if (streams === 1) {
        yield started("first");
        for (let index = 0; index < 3; index++) yield voice(4n, index);
        yield response({ case: "audioReceived", value: { offset: { seconds: 1n } } });
        for (let next = await requests.next(); !next.done; next = await requests.next()) {
          if (next.value.payload.case === "text") throw refusal(Code.Unavailable, { message: "gone" });
        }
      }
      yield started("second", { resumed: true, audioReceivedOffset: { seconds: 1n }, lastTurnId: 4n });
      yield voice(4n, 3); // of the turn that broke off
      yield voice(5n, 0);
      for (let next = await requests.next(); !next.done; next = await requests.next()) {
        const begun = { turnId: 6n, requestId: "q" };
        if (next.value.payload.case === "text") yield response({ case: "turnStarted", value: begun });
      }
    },
    async (client, service) => {
      const conversation = client.converse();
      await conversation.sendAudio(Buffer.alloc(48_000, 7)); // 1.5 s
      const told: (string | number)[] = [];
      for await (const event of conversation) {
        told.push(event.type === "audio" ? event.turnId : event.type);
        if (event.type === "audioReceived") {
          await sleep(60);
          conversation.sendText("And the sun?", { requestId: "q" });
        }
        if (event.type === "turnStarted") conversation.endInput();
        if (event.type === "connectionLost") assert.ok(event.error.code === "UNAVAILABLE" && event.turnId === 4);
      }
      const before = ["sessionStarted", 4, 4, 4, "audioReceived"];
      assert.deepEqual(told, [...before, "connectionLost", "resumed", 5, "turnStarted"]);
      const [resume, ...rest] = service.requests[1] ?? [];
      assert.ok(resume?.case === "config" && resume.value.resume?.resumeToken === "first");
      assert.equal(resume.value.resume.playback?.turnId, 4n);
      assert.ok(Number(resume.value.resume.playback?.position?.nanos) > 50_000_000);
      const again = rest.filter(({ case: kind }) => kind !== "playbackReport");
      assert.deepEqual(again.map(({ case: kind }) => kind), ["audio", "text"]);
      assert.ok(again[0]?.case === "audio" && again[0].value.data.length === 16_000);
    },
  );
});

test("a session that cannot be resumed ends the conversation with the reason", async () => {
  await talk(
    async function* (_, streams) {
      const unknown = { message: "no such session", errorInfo: { reason: "SESSION_NOT_FOUND" } };
      if (streams === 2) throw refusal(Code.NotFound, unknown);
      yield started();
      throw refusal(Code.Unavailable, { message: "gone" });
    },
    async (client) => {
      const types: string[] = [];
      await assert.rejects(
        async () => {
          for await (const { type } of client.converse()) types.push(type);
        },
        { name: "AvatarError", code: "NOT_FOUND", reason: "SESSION_NOT_FOUND" },
      );
      assert.deepEqual(types, ["sessionStarted", "connectionLost"]);
    },
  );
});

test("a stream that outlives its token goes on with the next, unless that has expired too", async () => {
  await talk(
    async function* (_, streams) {
      if (streams < 3) yield started(`t${streams}`, { resumed: streams > 1 });
      throw refusal(Code.Unauthenticated, { message: "expired", errorInfo: { reason: "CREDENTIAL_EXPIRED" } });
    },
    async (client, service) => {
      const types: string[] = [];
      await assert.rejects(
        async () => {
          for await (const { type } of client.converse()) types.push(type);
        },
        { name: "AvatarError", code: "UNAUTHENTICATED", reason: "CREDENTIAL_EXPIRED" },
      );
      assert.deepEqual(types, ["sessionStarted", "connectionLost", "resumed", "connectionLost"]);
      assert.equal(service.requests.length, 3);
    },
  );
});

for (const options of [{ resumeWithin: 0 }, {}] as ConverseOptions[]) {
  test(`a refusal is not tried again, nor anything with resumeWithin 0: ${JSON.stringify(options)}`, async () => {
    await talk(
      async function* () {
        yield started();
        const taken = { message: "elsewhere", errorInfo: { reason: "SESSION_TAKEN_OVER" } };
        if (options.resumeWithin === 0) throw refusal(Code.Unavailable, { message: "gone" });
        throw refusal(Code.Aborted, taken);
      },
      async (client, service) => {
        await assert.rejects(async () => {
          for await (const _ of client.converse({}, options));
        }, AvatarError);
        assert.equal(service.requests.length, 1);
      },
    );
  });
}

test("a server that goes away is left when the turn is over", async () => {
  await talk(
    async function* (requests, streams) {
      yield started(`t${streams}`, { resumed: streams > 1, lastTurnId: BigInt(streams - 1) });
      if (streams === 1) {
        yield response({ case: "turnStarted", value: { turnId: 1n } });
        yield response({ case: "goAway", value: { resumeToken: "another", timeLeft: { seconds: 60n } } });
        yield response({ case: "replyText", value: { turnId: 1n, text: "Yes." } });
        yield completed(1n);
      }
      while (!(await requests.next()).done);
    },
    async (client, service) => {
      const conversation = client.converse();
      const types: string[] = [];
      for await (const { type } of conversation) {
        types.push(type);
        if (type === "resumed") conversation.endInput();
      }
      assert.deepEqual(types, ["sessionStarted", "turnStarted", "goAway", "replyText", "turnCompleted", "resumed"]);
      const resume = service.requests[1]?.[0];
      assert.ok(resume?.case === "config" && resume.value.resume?.resumeToken === "another");
    },
  );
});

test("leaving the loop ends the call, and then nothing can be sent", async () => {
  let isCancelled = false;
  await talk(
    async function* (requests) {
      try {
        yield started();
        while (!(await requests.next()).done);
      } finally {
        isCancelled = true;
      }
    },
    async (client) => {
      const conversation = client.converse();
      for await (const _ of conversation) break;
      assert.throws(() => conversation.sendText("?"), { name: "AvatarError", code: "CANCELLED" });
      while (!isCancelled) await sleep(5);
    },
  );
});

test("a client that is closed ends its conversations, and begins none", async () => {
  let streams = 0;
  await talk(
    async function* (requests) {
      streams += 1;
      yield started();
      await requests.next(); // that nobody sends
    },
    async (client) => {
      const types: string[] = [];
      for await (const { type } of client.converse()) {
        types.push(type);
        client.close();
      }
      assert.deepEqual([types, streams], [["sessionStarted"], 1]);
      assert.throws(() => client.converse(), { name: "AvatarError", code: "CANCELLED" });
    },
  );
});
