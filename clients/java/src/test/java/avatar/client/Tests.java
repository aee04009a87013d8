// SPDX-License-Identifier: Apache-2.0

package avatar.client;

import com.google.gson.JsonObject;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.lang.reflect.Modifier;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;

/** Runs the tests of the client against a server, {@code Tests SERVER}, and prints a line of JSON for each. */
public final class Tests {
  private Tests() {}

  /** Every method of these classes without arguments is a test. */
  public static void main(String[] args) throws Exception {
    ExecutorService testers = Executors.newCachedThreadPool();
    List<Future<?>> running = new ArrayList<>();
    for (Object tests : List.of(new PlayOutTest(), new ConversationTest(args[0]))) {
      Arrays.stream(tests.getClass().getDeclaredMethods())
          .filter(method -> method.getParameterCount() == 0 && !method.isSynthetic())
          .filter(method -> !Modifier.isPrivate(method.getModifiers()))
          .forEach(method -> running.add(testers.submit(() -> run(tests, method))));
    }
    for (Future<?> test : running) {
      test.get();
    }
    System.exit(0);
  }

  /** Fails the test with these words unless {@code holds}. */
  static void check(boolean holds, Object... words) {
    if (!holds) {
      throw new AssertionError(Arrays.toString(words));
    }
  }

  private static void run(Object tests, Method method) {
    long began = System.nanoTime();
    JsonObject outcome = new JsonObject();
    outcome.addProperty("case", tests.getClass().getSimpleName() + "." + method.getName());
    try {
      method.invoke(tests);
      outcome.addProperty("failure", "");
    } catch (InvocationTargetException error) {
      Throwable cause = error.getCause();
      outcome.addProperty("failure", cause + " at " + Arrays.toString(cause.getStackTrace()));
    } catch (IllegalAccessException error) {
      outcome.addProperty("failure", error.toString());
    }
    outcome.addProperty("passed", outcome.get("failure").getAsString().isEmpty());
    outcome.addProperty("ms", (System.nanoTime() - began) / 1_000_000);
    System.out.println(outcome);
  }
}
