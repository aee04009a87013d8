// Everything that a conversation tells, as a line of JSON each, media without their bytes:
// `node dist/examples/events.js HOST:PORT --text TEXT [--config JSON] [--pause-ms MS] [--token TOKEN] [--ca FILE]`.
// Ends with the first turn. `--pause-ms` waits before anything is taken.

import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { AvatarClient, AvatarError, Code } from "avatar-client";

const text = { type: "string" } as const;
const { values, positionals } = parseArgs({
  options: { text, config: text, "pause-ms": text, token: text, ca: text },
  allowPositionals: true,
});
const { token, ca } = values;
const [server = "127.0.0.1:50051"] = positionals;
const client = new AvatarClient({ server, ...(token && { token }), ...(ca && { tls: { ca } }) });
try {
  const conversation = client.converse(JSON.parse(values.config ?? "{}"));
  if (values.text) conversation.sendText(values.text);
  await sleep(Number(values["pause-ms"] ?? 0));
  for await (const event of conversation) {
    console.log(JSON.stringify("data" in event ? { ...event, data: event.data.length } : event));
    if (event.type === "turnCompleted" && event.status?.code !== Code.CANCELLED) conversation.endInput();
  }
} catch (error) {
  if (!(error instanceof AvatarError)) throw error;
  const { code, reason, field, retryDelay, message } = error;
  console.log(JSON.stringify({ type: "error", code, reason, field, retryDelay, message }));
  process.exitCode = 1;
}
client.close();
