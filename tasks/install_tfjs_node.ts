/** `deno task install-tfjs-node`: builds tfjs' TensorFlow backend into the project's own folder, where the engine finds it. */
import { UserError } from "../lib/base/user_error.ts";
import { installTfjsNode, TENSORFLOW_VERSION } from "../lib/tensor/install/tfjs_node.ts";
import { openTfjsEngine } from "../lib/tensor/tfjs/engine.ts";
import { readFlags, runCommand } from "./cli.ts";

const COMMAND = {
  name: "install-tfjs-node",
  summary:
    "Builds @tensorflow/tfjs-node-gpu on a current TensorFlow, for the engine's tensorflow backend (Linux, g++).\n" +
    "TensorFlow comes from a Python package on this machine, or from a wheel. An installation that is there is left alone.",
  flags: {
    tensorflow: { value: "FOLDER", description: "The folder of a tensorflow Python package" },
    wheel: { value: "FILE", description: "A TensorFlow wheel" },
    cpu: { description: `Download TensorFlow ${TENSORFLOW_VERSION} for CPUs (272 MB)` },
    gpu: { description: "Download the build for NVIDIA GPUs; CUDA's own libraries must be on this machine" },
    force: { description: "Replace an installation that is there" },
  },
  epilogue: () =>
    "You should see the folder that was filled, and the TensorFlow version and device that it computes with.",
};

/** A line that is rewritten on a terminal, and one every tenth of the way elsewhere. */
function progressLine(): (stage: string, done: number, total: number | undefined) => void {
  const terminal = Deno.stderr.isTerminal();
  let last = "";
  return (stage, done, total) => {
    const share = total ? Math.floor(100 * done / total) : undefined;
    const mark = `${stage} ${share === undefined ? "" : terminal ? share : Math.floor(share / 10)}`;
    if (mark === last) return;
    last = mark;
    const text = share === undefined ? `${stage} …` : `${stage} ${share} % of ${(total! / 1e6).toFixed(0)} MB`;
    Deno.stderr.writeSync(
      new TextEncoder().encode(terminal ? `\r\x1b[K${text}${share === 100 ? "\n" : ""}` : `${text}\n`),
    );
  };
}

if (import.meta.main) {
  await runCommand(async (signal) => {
    const flags = readFlags(COMMAND, Deno.args);
    const sources = ["tensorflow", "wheel"].filter((name) => flags.text(name) !== undefined);
    sources.push(...["cpu", "gpu"].filter((name) => flags.has(name)));
    if (sources.length > 1) {
      throw new UserError(`give one of --tensorflow, --wheel, --cpu, --gpu: received --${sources.join(" and --")}`);
    }
    const { folder, already } = await installTfjsNode({
      tensorflow: flags.text("tensorflow"),
      wheel: flags.text("wheel"),
      build: flags.has("gpu") ? "gpu" : flags.has("cpu") ? "cpu" : undefined,
      force: flags.has("force"),
      onProgress: progressLine(),
      signal,
    });
    const engine = await openTfjsEngine({ backend: "tensorflow" });
    console.log(`\n${engine.description} is in ${folder}${already ? ": left alone; --force replaces it" : ""}`);
    engine.close();
  });
}
