// SPDX-License-Identifier: Apache-2.0

package avatar.conformance;

import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import io.grpc.Channel;
import io.grpc.ManagedChannel;
import io.grpc.netty.NettyChannelBuilder;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;

/** Plays wire scripts, which tests/conformance/README.md describes: {@code Runner [--at-once N] SERVER SCRIPT...}. */
public final class Runner {
  private static final int WINDOW_BYTES = 256 * 1024;

  private Runner() {}

  /** Runs the command: exit code 0 if every script passed, 1 if one failed, 2 if the arguments cannot be used. */
  public static void main(String[] args) throws Exception {
    int options = args.length > 1 && args[0].equals("--at-once") ? 2 : 0;
    if (args.length < options + 2) {
      System.err.println("usage: Runner [--at-once N] HOST:PORT SCRIPT...");
      System.exit(2);
    }
    int atOnce = options > 0 ? Integer.parseInt(args[1]) : 8;
    List<String> scripts = Arrays.asList(args).subList(options + 1, args.length);
    ManagedChannel channel =
        NettyChannelBuilder.forTarget(args[options]).usePlaintext().flowControlWindow(WINDOW_BYTES).build();
    ExecutorService players = Executors.newFixedThreadPool(atOnce);
    List<Future<Boolean>> outcomes = new ArrayList<>();
    for (String script : scripts) {
      outcomes.add(players.submit(() -> play(channel, Path.of(script))));
    }
    boolean passed = true;
    for (Future<Boolean> outcome : outcomes) {
      passed &= outcome.get();
    }
    channel.shutdownNow();
    System.exit(passed ? 0 : 1);
  }

  private static boolean play(Channel channel, Path script) throws IOException, InterruptedException {
    long began = System.nanoTime();
    String failure = "";
    Play play = new Play(channel, script.toAbsolutePath().getParent());
    int number = 0;
    for (JsonElement element : steps(script)) {
      JsonObject step = element.getAsJsonObject();
      number++;
      try {
        play.step(step);
      } catch (Play.Failed | RuntimeException | IOException error) {
        failure = "step " + number + ", " + step.keySet().iterator().next() + ": " + said(error);
        break;
      }
    }
    play.close();
    JsonObject outcome = new JsonObject();
    outcome.addProperty("case", script.getFileName().toString().replaceFirst("\\.json$", ""));
    outcome.addProperty("passed", failure.isEmpty());
    outcome.addProperty("ms", (System.nanoTime() - began) / 1_000_000);
    outcome.addProperty("failure", failure);
    System.out.println(outcome);
    return failure.isEmpty();
  }

  private static Iterable<JsonElement> steps(Path script) throws IOException {
    return JsonParser.parseString(Files.readString(script)).getAsJsonObject().getAsJsonArray("steps");
  }

  private static String said(Exception error) {
    return error instanceof Play.Failed ? error.getMessage() : error.toString();
  }
}
