import assert from "node:assert/strict";
import { test } from "node:test";
import { create, equals } from "@bufbuild/protobuf";
import { TurnTakingMode } from "avatar-client";
import { PlaybackReportSchema } from "#lib/gen/avatar/v1/media_pb.js";
import { ConverseConfigSchema } from "#lib/gen/avatar/v1/session_pb.js";
import { duration, fromPlain, toPlain } from "#lib/plain.js";

test("durations are seconds and ids numbers, both ways", () => {
  const position = { seconds: 2n, nanos: 40_000_000 };
  const report = create(PlaybackReportSchema, { turnId: 7n, position, stopped: true });
  assert.deepEqual(toPlain(report), { turnId: 7, position: 2.04, stopped: true });
  const again = create(PlaybackReportSchema, fromPlain(PlaybackReportSchema, toPlain(report)));
  assert.ok(equals(PlaybackReportSchema, again, report));
});

test("fields of any depth are converted: messages, lists and maps", () => {
  const init = fromPlain(ConverseConfigSchema, {
    turnTaking: { silence: 0.7, mode: TurnTakingMode.MANUAL },
    history: [{ role: 1, text: "Hello." }],
    tools: { tools: [{ name: "clock" }], timeout: 1.5 },
    metadata: { page: "home" },
    systemPrompt: undefined,
  });
  const config = create(ConverseConfigSchema, init);
  assert.deepEqual(config.turnTaking?.silence?.nanos, 700_000_000);
  assert.equal(config.history[0]?.text, "Hello.");
  assert.deepEqual(config.tools?.timeout?.nanos, 500_000_000);
  assert.deepEqual(config.metadata, { page: "home" });
});

test("a field that the contract does not have is named", () => {
  const misspelt = { turnTaking: { silense: 1 } };
  assert.throws(() => fromPlain(ConverseConfigSchema, misspelt), /TurnTakingConfig has no field silense/);
});

test("a duration is rounded to its nearest nanosecond", () => {
  assert.deepEqual(duration(0.3), { seconds: 0n, nanos: 300_000_000 });
  assert.deepEqual(duration(61.999999999), { seconds: 61n, nanos: 999_999_999 });
});
