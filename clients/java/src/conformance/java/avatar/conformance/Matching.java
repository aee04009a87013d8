// SPDX-License-Identifier: Apache-2.0

package avatar.conformance;

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonPrimitive;
import java.util.Map;
import java.util.NoSuchElementException;

/** What a wire script expects, against what came: both as JSON of the contract's field names. */
final class Matching {
  private Matching() {}

  /** The first place where {@code actual}, null if absent, is not as expected, in words; empty if it matches. */
  static String difference(JsonElement expected, JsonElement actual, String path) {
    if (expected.isJsonNull()) {
      return actual == null ? "" : path + " is " + brief(actual) + " and must be absent";
    }
    if (actual == null) {
      return path + " is absent";
    }
    if (expected.isJsonObject()) {
      return ofObject(expected.getAsJsonObject(), actual, path);
    }
    if (expected.isJsonArray()) {
      return ofList(expected.getAsJsonArray(), actual, path);
    }
    return isSame(expected.getAsJsonPrimitive(), actual) ? "" : path + " is " + brief(actual) + ", not " + expected;
  }

  /** {@code value} with each string {@code $name} replaced. Throws NoSuchElementException for what was not saved. */
  static JsonElement substituted(JsonElement value, Map<String, JsonElement> variables) {
    if (value.isJsonObject()) {
      JsonObject filled = new JsonObject();
      for (Map.Entry<String, JsonElement> item : value.getAsJsonObject().entrySet()) {
        filled.add(item.getKey(), substituted(item.getValue(), variables));
      }
      return filled;
    }
    if (value.isJsonArray()) {
      JsonArray filled = new JsonArray();
      value.getAsJsonArray().forEach(item -> filled.add(substituted(item, variables)));
      return filled;
    }
    if (!isText(value) || !value.getAsString().startsWith("$")) {
      return value;
    }
    JsonElement saved = variables.get(value.getAsString().substring(1));
    if (saved == null) {
      throw new NoSuchElementException(value.getAsString() + " was not saved");
    }
    return saved;
  }

  /** The field at this dotted path. Throws NoSuchElementException if it is absent. */
  static JsonElement found(JsonElement message, String path) {
    JsonElement at = message;
    for (String name : path.split("\\.")) {
      at = at != null && at.isJsonObject() ? at.getAsJsonObject().get(name) : null;
    }
    if (at == null) {
      throw new NoSuchElementException("no " + path);
    }
    return at;
  }

  private static String ofObject(JsonObject expected, JsonElement actual, String path) {
    if (expected.has("$present")) {
      return "";
    }
    if (expected.has("$min") || expected.has("$max")) {
      return isWithin(expected, actual) ? "" : path + " is " + brief(actual) + " and must be within " + expected;
    }
    if (!actual.isJsonObject()) {
      return path + " is " + brief(actual) + " and must be an object";
    }
    for (Map.Entry<String, JsonElement> item : expected.entrySet()) {
      String name = path.isEmpty() ? item.getKey() : path + "." + item.getKey();
      String difference = difference(item.getValue(), actual.getAsJsonObject().get(item.getKey()), name);
      if (!difference.isEmpty()) {
        return difference;
      }
    }
    return "";
  }

  private static String ofList(JsonArray expected, JsonElement actual, String path) {
    if (!actual.isJsonArray()) {
      return path + " is " + brief(actual) + " and must be a list";
    }
    for (JsonElement item : expected) {
      boolean found = false;
      for (JsonElement one : actual.getAsJsonArray()) {
        found |= difference(item, one, path).isEmpty();
      }
      if (!found) {
        return path + " has no " + brief(item);
      }
    }
    return "";
  }

  private static boolean isSame(JsonPrimitive expected, JsonElement actual) {
    if (expected.isNumber() && actual.isJsonPrimitive() && actual.getAsJsonPrimitive().isNumber()) {
      return expected.getAsDouble() == actual.getAsDouble();
    }
    return expected.equals(actual);
  }

  private static boolean isWithin(JsonObject bounds, JsonElement actual) {
    try {
      double number = Double.parseDouble(actual.getAsString().replaceFirst("s$", ""));
      return (!bounds.has("$min") || bounds.get("$min").getAsDouble() <= number)
          && (!bounds.has("$max") || number <= bounds.get("$max").getAsDouble());
    } catch (IllegalStateException | NumberFormatException | UnsupportedOperationException error) {
      return false;
    }
  }

  private static boolean isText(JsonElement value) {
    return value.isJsonPrimitive() && value.getAsJsonPrimitive().isString();
  }

  private static String brief(JsonElement value) {
    String text = value.toString();
    return text.length() <= 80 ? text : text.substring(0, 77) + "...";
  }
}
