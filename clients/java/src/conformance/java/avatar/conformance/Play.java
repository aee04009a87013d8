// SPDX-License-Identifier: Apache-2.0

package avatar.conformance;

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import com.google.protobuf.Message;
import com.google.protobuf.util.JsonFormat;
import io.grpc.Channel;
import io.grpc.Metadata;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Base64;
import java.util.HashMap;
import java.util.HashSet;
import java.util.Map;
import java.util.NoSuchElementException;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;

/** One script being played. */
final class Play {
  /** A step did not go as the script says. */
  static final class Failed extends Exception {
    private static final long serialVersionUID = 1;

    Failed(String message) {
      super(message);
    }
  }

  private static final JsonFormat.Printer PRINTER = JsonFormat.printer().preservingProtoFieldNames();
  private static final JsonFormat.Parser PARSER = JsonFormat.parser();

  private final Channel channel;
  private final Path folder;
  private final Map<String, JsonElement> variables = new HashMap<>();
  private WireCall call;

  Play(Channel channel, Path folder) {
    this.channel = channel;
    this.folder = folder;
  }

  /** Plays one step. */
  void step(JsonObject step) throws Failed, IOException, InterruptedException {
    try {
      switch (step.keySet().iterator().next()) {
        case "call" -> open(step);
        case "send" -> opened().send(request(step.get("send")));
        case "send_raw" -> opened().send(Base64.getDecoder().decode(step.get("send_raw").getAsString()));
        case "send_audio" -> sendAudio(step.getAsJsonObject("send_audio"));
        case "half_close" -> opened().halfClose();
        case "cancel" -> opened().cancel();
        case "pause_reading_ms" -> Thread.sleep(step.get("pause_reading_ms").getAsLong());
        case "expect" -> expect(step);
        case "expect_end" -> expectEnd(step);
        default -> throw new Failed("is no step that is known");
      }
    } catch (NoSuchElementException error) {
      throw new Failed(error.getMessage());
    }
  }

  /** Cancels what is still open. */
  void close() {
    if (call != null) {
      call.cancel();
    }
  }

  private WireCall opened() throws Failed {
    if (call == null) {
      throw new Failed("needs a call before it");
    }
    return call;
  }

  private void open(JsonObject step) {
    close();
    Metadata metadata = new Metadata();
    if (step.has("metadata")) {
      for (Map.Entry<String, JsonElement> item : step.getAsJsonObject("metadata").entrySet()) {
        metadata.put(Metadata.Key.of(item.getKey(), Metadata.ASCII_STRING_MARSHALLER), item.getValue().getAsString());
      }
    }
    call = new WireCall(channel, step.get("call").getAsString(), metadata, number(step, "deadline_ms", 60_000));
  }

  private byte[] request(JsonElement message) throws Failed, IOException {
    Message.Builder request = opened().request().newBuilderForType();
    PARSER.merge(Matching.substituted(message, variables).toString(), request);
    return request.build().toByteArray();
  }

  private void sendAudio(JsonObject audio) throws Failed, IOException {
    for (byte[] piece : Sound.pieces(audio, folder)) {
      JsonObject data = new JsonObject();
      data.addProperty("data", Base64.getEncoder().encodeToString(piece));
      JsonObject message = new JsonObject();
      message.add("audio", data);
      call.send(request(message));
    }
  }

  private void expect(JsonObject step) throws Failed, IOException, InterruptedException {
    Reading reading = new Reading(step);
    JsonObject expected = Matching.substituted(step.get("expect"), variables).getAsJsonObject();
    JsonElement actual = null;
    for (long missing = number(step, "count", 1); missing > 0; ) {
      Message response = reading.next();
      if (response == null) {
        WireCall.End end = call.end();
        throw new Failed("the call ended first: " + said(end) + "; " + reading.told());
      }
      if (has(response, expected)) {
        actual = json(response);
        String difference = Matching.difference(expected, actual, "");
        missing -= difference.isEmpty() ? 1 : 0;
        reading.nearest = difference.isEmpty() ? reading.nearest : difference;
      }
    }
    if (step.has("save")) {
      for (Map.Entry<String, JsonElement> item : step.getAsJsonObject("save").entrySet()) {
        variables.put(item.getKey(), Matching.found(actual, item.getValue().getAsString()));
      }
    }
  }

  private void expectEnd(JsonObject step) throws Failed, IOException, InterruptedException {
    Reading reading = new Reading(step);
    while (reading.next() != null) {
      // whatever is left to come
    }
    WireCall.End end = call.end();
    JsonObject actual = new JsonObject();
    actual.addProperty("code", end.status().getCode().name());
    actual.addProperty("reason", end.details().getErrorInfo().getReason());
    actual.addProperty("field", end.details().getField());
    actual.addProperty("retry", end.details().hasRetryDelay());
    String difference = Matching.difference(step.get("expect_end"), actual, "");
    if (!difference.isEmpty()) {
      throw new Failed(difference + " (" + said(end) + ")");
    }
  }

  private static String said(WireCall.End end) {
    return end.status().getCode() + ": " + end.status().getDescription();
  }

  /** Whether it is worth comparing: media in JSON cost more than everything else. */
  private static boolean has(Message response, JsonObject expected) {
    Set<String> names = new HashSet<>();
    response.getAllFields().keySet().forEach(field -> names.add(field.getName()));
    return expected.entrySet().stream().allMatch(item -> item.getValue().isJsonNull() || names.contains(item.getKey()));
  }

  private static JsonElement json(Message response) throws IOException {
    return JsonParser.parseString(PRINTER.print(response));
  }

  private static long number(JsonObject object, String name, long otherwise) {
    return object.has(name) ? object.get(name).getAsLong() : otherwise;
  }

  /** What one step reads. */
  private final class Reading {
    private final long deadlineNanos;
    private final JsonArray never;
    private final Map<String, Integer> seen = new TreeMap<>();
    private String nearest = "";

    Reading(JsonObject step) throws Failed {
      opened();
      deadlineNanos = System.nanoTime() + TimeUnit.MILLISECONDS.toNanos(number(step, "within_ms", 10_000));
      never = step.has("never") ? step.getAsJsonArray("never") : new JsonArray();
    }

    Message next() throws Failed, IOException, InterruptedException {
      try {
        Message response = call.read(deadlineNanos);
        if (response != null) {
          response.getAllFields().keySet().forEach(field -> seen.merge(field.getName(), 1, Integer::sum));
          check(response);
        }
        return response;
      } catch (TimeoutException error) {
        throw new Failed("did not come in time; " + told());
      }
    }

    String told() {
      return "came: " + seen + (nearest.isEmpty() ? "" : "; nearest: " + nearest);
    }

    private void check(Message response) throws Failed, IOException {
      for (JsonElement unwanted : never) {
        JsonObject pattern = pattern(unwanted);
        if (has(response, pattern)
            && Matching.difference(Matching.substituted(pattern, variables), json(response), "").isEmpty()) {
          throw new Failed(unwanted + " came, which must not");
        }
      }
    }

    private static JsonObject pattern(JsonElement unwanted) {
      if (unwanted.isJsonObject()) {
        return unwanted.getAsJsonObject();
      }
      JsonObject present = new JsonObject();
      present.addProperty("$present", true);
      JsonObject pattern = new JsonObject();
      pattern.add(unwanted.getAsString(), present);
      return pattern;
    }
  }
}
