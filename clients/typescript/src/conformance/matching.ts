// What a wire script expects, against what came: both as JSON of the contract's field names.

import type { JsonObject, JsonValue } from "@bufbuild/protobuf";

const BOUNDS = ["$min", "$max"];

/** The first place where `actual` is not as expected, in words; empty if it matches. Null is an absent field. */
export function difference(expected: JsonValue, actual: JsonValue | undefined, path = ""): string {
  if (expected === null) return actual === undefined ? "" : `${path} is ${brief(actual)} and must be absent`;
  if (actual === undefined) return `${path} is absent`;
  if (Array.isArray(expected)) return ofLists(expected, actual, path);
  if (typeof expected === "object") return ofObjects(expected, actual, path);
  return expected === actual ? "" : `${path} is ${brief(actual)}, not ${brief(expected)}`;
}

/** `value` with each string `$name` replaced. Throws RangeError naming a variable that was not saved. */
export function substituted(value: JsonValue, variables: Map<string, JsonValue>): JsonValue {
  if (Array.isArray(value)) return value.map((item) => substituted(item, variables));
  if (typeof value === "object" && value !== null) {
    return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, substituted(item, variables)]));
  }
  if (typeof value !== "string" || !value.startsWith("$")) return value;
  const saved = variables.get(value.slice(1));
  if (saved === undefined) throw new RangeError(`${value} was not saved`);
  return saved;
}

/** The field at a path of names joined by dots; undefined if it is absent. */
export function found(message: JsonValue, path: string): JsonValue | undefined {
  let at: JsonValue | undefined = message;
  for (const name of path.split(".")) at = isObject(at) ? at[name] : undefined;
  return at;
}

function ofObjects(expected: JsonObject, actual: JsonValue, path: string): string {
  const names = Object.keys(expected);
  if (names.includes("$present")) return "";
  if (names.length && names.every((name) => BOUNDS.includes(name))) return outOfBounds(expected, actual, path);
  if (!isObject(actual)) return `${path} is ${brief(actual)} and must be an object`;
  for (const [name, item] of Object.entries(expected)) {
    const different = difference(item, actual[name], path ? `${path}.${name}` : name);
    if (different) return different;
  }
  return "";
}

function outOfBounds(bounds: JsonObject, actual: JsonValue, path: string): string {
  const number = typeof actual === "string" ? Number(actual.replace(/s$/, "")) : Number(actual);
  const { $min = -Infinity, $max = Infinity } = bounds;
  if (number >= Number($min) && number <= Number($max)) return "";
  return `${path} is ${brief(actual)} and must be within ${brief(bounds)}`;
}

function ofLists(expected: JsonValue[], actual: JsonValue, path: string): string {
  if (!Array.isArray(actual)) return `${path} is ${brief(actual)} and must be a list`;
  const missing = expected.find((item) => actual.every((one) => difference(item, one, path)));
  return missing === undefined ? "" : `${path} has no ${brief(missing)}`;
}

function isObject(value: JsonValue | undefined): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function brief(value: JsonValue): string {
  const text = JSON.stringify(value);
  return text.length <= 80 ? text : `${text.slice(0, 77)}...`;
}
