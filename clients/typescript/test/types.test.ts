// What the compiler must refuse: a line without an error fails the build.

import assert from "node:assert/strict";
import { test } from "node:test";
import { AvatarClient, type ConversationEvent } from "avatar-client";

function offsetOf(event: ConversationEvent): number | undefined {
  // @ts-expect-error: not every event has an offset
  event.offset;
  return event.type === "audio" ? event.offset : undefined;
}

test("what is misspelt or of another type does not compile", () => {
  const client = new AvatarClient({ server: "127.0.0.1:1" });
  const wrong = [
    // @ts-expect-error: no such field
    () => client.converse({ avatr: "avatars/ada" }),
    // @ts-expect-error: durations are seconds
    () => client.converse({ pacing: { lead: "1s" } }),
    // @ts-expect-error: a text is required
    () => client.speak({}),
  ];
  assert.equal(wrong.length, 3);
  assert.equal(offsetOf({ type: "audio", offset: 0.04 } as ConversationEvent), 0.04);
});
