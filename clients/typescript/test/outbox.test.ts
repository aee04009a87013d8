import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import type { ConversationEvent } from "avatar-client";
import { SaySchema, UserTextSchema, UtteranceStartedSchema } from "#lib/gen/avatar/v1/converse_pb.js";
import { audio, Outbox, type Payload } from "#lib/outbox.js";

const second = (fill: number) => audio(Buffer.alloc(32_000, fill));
const asked = (requestId: string) => create(UserTextSchema, { text: "?", requestId });
const text = (requestId: string): Payload => ({ case: "text", value: asked(requestId) });
const acknowledged = (offset: number) => ({ type: "audioReceived", offset }) as ConversationEvent;

function taken(outbox: Outbox): Payload[] {
  const payloads: Payload[] = [];
  for (let payload = outbox.take(); payload; payload = outbox.take()) payloads.push(payload);
  return payloads;
}

function bytes(payloads: Payload[]): Buffer {
  return Buffer.concat(payloads.flatMap((payload) => (payload.case === "audio" ? [payload.value.data] : [])));
}

test("requests go out in order, and once", () => {
  const outbox = new Outbox();
  outbox.add(second(1));
  outbox.add(text("a"));
  outbox.add(second(2));
  assert.deepEqual(taken(outbox).map(({ case: kind }) => kind), ["audio", "text", "audio"]);
  assert.equal(outbox.take(), undefined);
});

test("after a break audio is sent again from where the service says, to the sample", () => {
  const outbox = new Outbox();
  for (const fill of [1, 2, 3]) outbox.add(second(fill));
  taken(outbox);
  outbox.settle(acknowledged(1));
  outbox.rewind(1.5);
  const again = bytes(taken(outbox));
  assert.equal(again.length, 48_000);
  assert.deepEqual([again[0], again[15_999], again[16_000], again.at(-1)], [2, 2, 3, 3]);
});

test("audio that the service acknowledged is let go of", () => {
  const outbox = new Outbox();
  for (const fill of [1, 2]) outbox.add(second(fill));
  taken(outbox);
  outbox.settle(acknowledged(2));
  outbox.rewind(0);
  assert.deepEqual(taken(outbox), []);
});

test("pieces that are sent again are joined, up to 32,000 bytes a message", () => {
  const outbox = new Outbox();
  for (let piece = 0; piece < 50; piece++) outbox.add(audio(Buffer.alloc(1280, piece)));
  const sizes = taken(outbox).map((payload) => (payload.case === "audio" ? payload.value.data.length : 0));
  assert.deepEqual(sizes, [32_000, 32_000]);
});

test("a text is sent again unless its turn has begun", () => {
  const outbox = new Outbox();
  outbox.add(text("a"));
  outbox.add(text("b"));
  taken(outbox);
  assert.ok(!outbox.isAnswered);
  outbox.settle({ type: "turnStarted", requestId: "a" } as ConversationEvent);
  outbox.rewind(0);
  assert.deepEqual(taken(outbox).map((payload) => payload.case === "text" && payload.value.requestId), ["b"]);
});

test("what waits to be said is dropped by a barge-in, as the service does", () => {
  const outbox = new Outbox();
  outbox.add({ case: "say", value: create(SaySchema, { text: "later", requestId: "s" }) });
  taken(outbox);
  outbox.settle({ type: "interrupted", turnId: 1, reason: 1 } as ConversationEvent);
  assert.ok(outbox.isAnswered);
});

test("a mark at the acknowledged position is sent again with its audio", () => {
  const outbox = new Outbox();
  outbox.add(second(1));
  outbox.add({ case: "utteranceStarted", value: create(UtteranceStartedSchema) });
  outbox.add(second(2));
  taken(outbox);
  outbox.settle(acknowledged(1));
  outbox.rewind(1);
  assert.deepEqual(taken(outbox).map(({ case: kind }) => kind), ["utteranceStarted", "audio"]);
});

test("more than 90 s of audio are not kept", () => {
  const outbox = new Outbox();
  for (let fill = 0; fill < 100; fill++) outbox.add(second(fill));
  assert.equal(outbox.waiting, 90);
});

test("more than 64 requests are refused while nothing goes out", () => {
  const outbox = new Outbox();
  for (let count = 0; count < 64; count++) outbox.add(text(`${count}`));
  assert.throws(() => outbox.add(text("one too many")), { name: "AvatarError", code: "RESOURCE_EXHAUSTED" });
});
