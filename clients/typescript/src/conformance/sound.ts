// The audio of wire scripts.

import { readFileSync } from "node:fs";
import { join } from "node:path";

const TONE_HZ = 440;
const TONE_AMPLITUDE = 8192;

/** What `send_audio` of a script sends. */
export interface Sound {
  silence_ms?: number;
  tone_ms?: number;
  file?: string;
  rate_hertz?: number;
  piece_ms?: number;
}

/** The data of its requests; `folder` is that of the script. */
export function pieces(sound: Sound, folder: string): Buffer[] {
  const { rate_hertz: rate = 16_000, piece_ms: pieceMs = 100 } = sound;
  const data = sound.file ? readFileSync(join(folder, sound.file)) : tone(rate, sound);
  const size = 2 * Math.floor((rate * pieceMs) / 1000);
  return Array.from({ length: Math.ceil(data.length / size) }, (_, at) => data.subarray(at * size, (at + 1) * size));
}

function tone(rate: number, sound: Sound): Buffer {
  const samples = Math.floor((rate * (sound.silence_ms ?? sound.tone_ms ?? 0)) / 1000);
  const amplitude = sound.tone_ms ? TONE_AMPLITUDE : 0;
  const data = Buffer.alloc(2 * samples);
  for (let at = 0; at < samples; at++) {
    data.writeInt16LE(Math.round(amplitude * Math.sin((2 * Math.PI * TONE_HZ * at) / rate)), 2 * at);
  }
  return data;
}
