// One question and its answer: `node dist/examples/talk.js --server HOST:PORT (--wav FILE | --text TEXT) --out DIR`.
// Writes `voice.wav` and `frame_00000.jpg` and so on into DIR; prints transcript, reply and how long they took.

import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { AvatarClient, AvatarError, type Conversation, TurnOutcome } from "avatar-client";
import { readWav, writeWav } from "./wav.js";

const USAGE =
  "usage: talk --server HOST:PORT (--wav FILE | --text TEXT) --out DIR [--token TOKEN | --api-key KEY] [--ca FILE]";
const TICK_MS = 40;

interface Options {
  server: string;
  out: string;
  wav?: string | undefined;
  text?: string | undefined;
  token?: string | undefined;
  apiKey?: string | undefined;
  ca?: string | undefined;
}

function options(): Options {
  const text = { type: "string" } as const;
  const { values } = parseArgs({
    options: { server: text, wav: text, text, out: text, token: text, "api-key": text, ca: text },
  });
  const { server, out, "api-key": apiKey } = values;
  if (!server || !out || !values.wav === !values.text) throw new TypeError(USAGE);
  return { ...values, server, out, apiKey };
}

/** Speaks samples in real time, and then is silent: an utterance ends when its silence has been heard. */
async function speak(conversation: Conversation, rate: number, pcm: Buffer, signal: AbortSignal): Promise<void> {
  const piece = Math.round((rate * TICK_MS) / 1000) * 2;
  const begun = performance.now();
  for (let tick = 0; !signal.aborted; tick++) {
    const samples = pcm.subarray(tick * piece, (tick + 1) * piece);
    await conversation.sendAudio(samples.length ? samples : Buffer.alloc(piece));
    await sleep(Math.max(0, begun + (tick + 1) * TICK_MS - performance.now()), undefined, { signal });
  }
}

async function main({ server, out, wav, text, token, apiKey, ca }: Options): Promise<void> {
  await mkdir(out, { recursive: true });
  const sound = wav ? readWav(await readFile(wav)) : { rate: 16_000, pcm: Buffer.alloc(0) };
  const credentials = { ...(token && { token }), ...(apiKey && { apiKey }), ...(ca && { tls: { ca } }) };
  const client = new AvatarClient({ server, ...credentials });
  const conversation = client.converse({ inputAudio: { sampleRateHertz: sound.rate } });
  const done = new AbortController();
  let [begun, asked, firstAudio, firstFrame, frames, rate] = [0, 0, 0, 0, 0, 24_000];
  let reply = "";
  const voice: Uint8Array[] = [];
  for await (const event of conversation) {
    switch (event.type) {
      case "sessionStarted":
        rate = event.config?.outputAudio?.sampleRateHertz || rate;
        begun = asked = performance.now();
        if (text) conversation.sendText(text);
        // Where it fails the conversation is over, and the loop tells why.
        else speak(conversation, sound.rate, sound.pcm, done.signal).catch(() => undefined);
        break;
      case "speechStopped":
        asked = begun + (event.offset ?? 0) * 1000; // the voice ended there
        break;
      case "transcript":
        if (event.final) console.log(`you: ${event.text}`);
        break;
      case "replyText":
        reply += event.text;
        break;
      case "audio":
        firstAudio ||= performance.now();
        voice.push(event.data);
        break;
      case "frame":
        firstFrame ||= performance.now();
        await writeFile(join(out, `frame_${String(frames++).padStart(5, "0")}.jpg`), event.data);
        break;
      case "turnCompleted":
        if (event.outcome === TurnOutcome.FAILED) console.error(event.status?.message);
        done.abort();
        conversation.endInput();
    }
  }
  client.close();
  await writeFile(join(out, "voice.wav"), writeWav(rate, Buffer.concat(voice)));
  const bytes = voice.reduce((sum, piece) => sum + piece.length, 0);
  console.log(`avatar: ${reply}`);
  const waits = [firstAudio, firstFrame].map((at) => `${Math.round(at - asked)} ms`);
  console.log(`first audio after ${waits[0]}, first frame after ${waits[1]}`);
  console.log(`${(bytes / 2 / rate).toFixed(2)} s of voice and ${frames} frames are in ${out}`);
}

try {
  await main(options());
} catch (error) {
  if (!(error instanceof AvatarError)) console.error(error instanceof Error ? error.message : error);
  else console.error([error.code, error.reason, error.message].filter(Boolean).join(": "));
  process.exitCode = error instanceof TypeError ? 2 : 1;
}
