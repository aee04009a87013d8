// Plays wire scripts: `node dist/conformance.js [--at-once N] HOST:PORT SCRIPT...`. Prints one line of JSON a script.
// Exit code 0: every script passed; 1: one failed; 2: the arguments cannot be used.

import { parseArgs } from "node:util";
import { Http2SessionManager } from "@connectrpc/connect-node";
import { play } from "./conformance/play.js";

const USAGE = "usage: conformance [--at-once N] HOST:PORT SCRIPT...";

function parsed(): { atOnce: number; server: string; scripts: string[] } {
  const { values, positionals } = parseArgs({
    options: { "at-once": { type: "string", default: "8" } },
    allowPositionals: true,
  });
  const [server, ...scripts] = positionals;
  const atOnce = Number(values["at-once"]);
  if (!server || !scripts.length || !(atOnce >= 1)) throw new TypeError(USAGE);
  return { atOnce, server, scripts };
}

async function main(): Promise<void> {
  const { atOnce, server, scripts } = parsed();
  const connection = new Http2SessionManager(`http://${server}`);
  let passed = true;
  const worker = async (): Promise<void> => {
    for (let script = scripts.shift(); script !== undefined; script = scripts.shift()) {
      const outcome = await play(connection, script);
      passed &&= outcome.passed;
      console.log(JSON.stringify(outcome));
    }
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
  process.exit(passed ? 0 : 1); // deadlines of calls that were cancelled would keep it waiting
}

main().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 2;
});
