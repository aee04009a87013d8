// SPDX-License-Identifier: Apache-2.0

package avatar.conformance;

import com.google.gson.JsonObject;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/** The audio of wire scripts. */
final class Sound {
  private static final double TONE_HZ = 440;
  private static final double TONE_AMPLITUDE = 8_192;

  private Sound() {}

  /** The requests' data for a {@code send_audio} of a script in {@code folder}. */
  static List<byte[]> pieces(JsonObject audio, Path folder) throws IOException {
    int rate = number(audio, "rate_hertz", 16_000);
    byte[] data =
        audio.has("file") ? Files.readAllBytes(folder.resolve(audio.get("file").getAsString())) : made(audio, rate);
    int size = 2 * (rate * number(audio, "piece_ms", 100) / 1000);
    List<byte[]> pieces = new ArrayList<>();
    for (int begin = 0; begin < data.length; begin += size) {
      pieces.add(Arrays.copyOfRange(data, begin, Math.min(begin + size, data.length)));
    }
    return pieces;
  }

  private static byte[] made(JsonObject audio, int rate) {
    boolean tone = audio.has("tone_ms");
    int count = rate * audio.get(tone ? "tone_ms" : "silence_ms").getAsInt() / 1000;
    ByteBuffer samples = ByteBuffer.allocate(2 * count).order(ByteOrder.LITTLE_ENDIAN);
    for (int i = 0; i < count; i++) {
      samples.putShort((short) (tone ? Math.rint(TONE_AMPLITUDE * Math.sin(2 * Math.PI * TONE_HZ * i / rate)) : 0));
    }
    return samples.array();
  }

  private static int number(JsonObject object, String name, int otherwise) {
    return object.has(name) ? object.get(name).getAsInt() : otherwise;
  }
}
