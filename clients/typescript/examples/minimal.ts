// A spoken conversation with code generated from the contract alone: `node minimal.js HOST:PORT QUESTION.wav`.
// The WAV file is mono, 16-bit, 16,000 Hz. A second question follows as text; then the client takes its leave.
import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { AvatarService } from "./gen/avatar/v1/avatar_service_pb.js";
import type { ConverseRequestSchema } from "./gen/avatar/v1/converse_pb.js";

const [server = "127.0.0.1:50051", wav = "question.wav"] = process.argv.slice(2);
const voice = readFileSync(wav).subarray(44); // behind the header of 44 bytes
const silence = Buffer.alloc(1280); // 40 ms
const waiting: MessageInitShape<typeof ConverseRequestSchema>[] = []; // to be sent beside the microphone's audio
let isOver = false;
// Play-out: the turn that is heard (0: none), when it began and how much of it has come, both in ms.
const playing = { turnId: 0n, since: 0, received: 0 };
let samplesPerMs = 0; // of the avatar's voice, as the session says

function reportPlayback(stopped = false): void {
  const ms = Math.floor(Math.min(performance.now() - playing.since, playing.received));
  const position = { seconds: BigInt(Math.floor(ms / 1000)), nanos: (ms % 1000) * 1_000_000 };
  waiting.push({ payload: { case: "playbackReport", value: { turnId: playing.turnId, position, stopped } } });
  if (stopped) playing.turnId = 0n;
}

async function* microphone() {
  yield { payload: { case: "config" as const, value: { systemPrompt: "Answer in one sentence." } } };
  for (let tick = 0; !isOver; tick++, await sleep(40)) {
    if (playing.turnId && tick % 5 === 0) reportPlayback();
    yield* waiting.splice(0);
    const piece = voice.subarray(tick * silence.length, (tick + 1) * silence.length);
    yield { payload: { case: "audio" as const, value: { data: piece.length ? piece : silence } } };
  }
} // its end half-closes the stream

const client = createClient(AvatarService, createGrpcTransport({ baseUrl: `http://${server}` }));
for await (const { payload } of client.converse(microphone())) {
  if (payload.case === "sessionStarted") samplesPerMs = payload.value.config!.outputAudio!.sampleRateHertz / 1000;
  if (payload.case === "transcript" && payload.value.final) console.log(`user: ${payload.value.text}`);
  if (payload.case === "replyText") process.stdout.write(payload.value.text);
  if (payload.case === "audio") {
    if (playing.turnId !== payload.value.turnId) // a turn is heard from its first audio on
      Object.assign(playing, { turnId: payload.value.turnId, since: performance.now(), received: 0 });
    playing.received += payload.value.sampleCount / samplesPerMs;
  }
  if (payload.case === "interrupted" && playing.turnId) reportPlayback(true); // a player drops what is left
  if (payload.case === "turnCompleted") {
    playing.turnId = 0n;
    console.log(`\n(heard: ${payload.value.heardText})`);
    if (payload.value.turnId >= 2n) isOver = true;
    else waiting.push({ payload: { case: "text", value: { text: "And the sun?", requestId: "q2" } } });
  }
}
