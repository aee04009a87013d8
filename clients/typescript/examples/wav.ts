// Sound files as the examples need them: mono, 16 bits a sample.

/** Samples of a WAV file and their rate. Throws RangeError if it is no mono file of 16 bits. */
export function readWav(file: Buffer): { rate: number; pcm: Buffer } {
  if (file.toString("latin1", 0, 4) !== "RIFF") throw new RangeError("not a WAV file");
  let rate = 0;
  for (let at = 12; at + 8 <= file.length; at += 8 + file.readUInt32LE(at + 4) + (file.readUInt32LE(at + 4) % 2)) {
    const kind = file.toString("latin1", at, at + 4);
    if (kind === "fmt ") {
      const [format, channels, bits] = [8, 10, 22].map((field) => file.readUInt16LE(at + field));
      if (format !== 1 || channels !== 1 || bits !== 16) throw new RangeError("not mono or not of 16 bits a sample");
      rate = file.readUInt32LE(at + 12);
    }
    if (kind === "data" && rate) return { rate, pcm: file.subarray(at + 8, at + 8 + file.readUInt32LE(at + 4)) };
  }
  throw new RangeError("a WAV file without samples");
}

/** A WAV file of samples. */
export function writeWav(rate: number, pcm: Buffer): Buffer {
  const header = Buffer.alloc(44);
  header.write("RIFF", 0);
  header.writeUInt32LE(36 + pcm.length, 4);
  header.write("WAVEfmt ", 8);
  header.writeUInt32LE(16, 16);
  header.writeUInt16LE(1, 20); // samples as they are
  header.writeUInt16LE(1, 22); // one channel
  header.writeUInt32LE(rate, 24);
  header.writeUInt32LE(rate * 2, 28);
  header.writeUInt16LE(2, 32);
  header.writeUInt16LE(16, 34);
  header.write("data", 36);
  header.writeUInt32LE(pcm.length, 40);
  return Buffer.concat([header, pcm]);
}
