/** `deno task label`: a page on this machine where a person judges final frames blindly. */
import { LabelSession } from "../lib/studies/labels/session.ts";
import { serveLabels } from "../lib/studies/labels/server.ts";
import { UserError } from "../lib/base/user_error.ts";
import { checkOutput, type Command, readFlags, runCommand } from "./cli.ts";

const COMMAND: Command = {
  name: "label",
  summary: "Judge final frames blindly: prints the address of a page that shows frame and task, and keeps the answers.",
  flags: {
    frames: { value: "FOLDER|FILE", description: "Items: an items.jsonl of {id, instruction, frame}, or its folder" },
    labeller: { value: "NAME", description: "Who answers" },
    out: {
      value: "FILE",
      description: "Labels as JSON lines; answers are added to what is there",
      default: "labels.jsonl",
    },
    seed: { value: "N", description: "Seed of the order in which items are shown", default: "0" },
    port: { value: "N", description: "Port on this machine", default: "any that is free" },
  },
};

await runCommand(async (signal) => {
  const flags = readFlags(COMMAND, Deno.args);
  const frames = flags.text("frames"), labeller = flags.text("labeller"), out = flags.text("out") ?? "labels.jsonl";
  if (frames === undefined) {
    throw new UserError("name what to judge with --frames FOLDER (a folder with an items.jsonl)");
  }
  if (labeller === undefined) {
    throw new UserError("say who answers with --labeller NAME: labels of several people are compared");
  }
  const port = flags.integer("port", 1) ?? 0;
  if (port > 65535) throw new UserError(`--port must be in 1..65535: received ${port}`);
  await checkOutput(out, "labels.jsonl");
  using session = await LabelSession.open({ frames, labeller, out, seed: flags.integer("seed") ?? 0 });
  for (const note of session.notes) console.error(note);
  const { url, finished } = serveLabels({ session, port, signal, onProblem: (message) => console.error(message) });
  console.log(`label at ${url} (Ctrl-C ends it)`);
  await finished;
  await session.checkFile();
  const { done, total } = session.task;
  console.log(`${done} of ${total} items answered by ${labeller}: ${out}`);
}, { stopping: "closing the page's server" });
