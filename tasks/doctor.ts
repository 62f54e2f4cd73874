/** `deno task doctor`: which engines this machine has, where LibTorch was looked for, and what to install. */
import { type Examination, examineEngines } from "../lib/tensor/doctor.ts";
import { readFlags, runCommand } from "./cli.ts";

const COMMAND = {
  name: "doctor",
  summary: "Shows the engines that this machine has, where LibTorch was looked for, and which engine to take.",
  flags: { json: { description: "Print everything as JSON" } },
};

const gigabytes = (bytes: number) => `${(bytes / 1e9).toFixed(1)} GB`;

/** The picture as lines for people. */
export function examinationText(found: Examination): string {
  const { libtorch, cuda, memory } = found;
  const width = Math.max(...libtorch.searched.map(({ place }) => place.length)) + 2;
  const names = found.engines.map(({ engine, device, available }) =>
    engine === "torch" || available ? `${engine} ${device}`.trim() : engine
  );
  const engineWidth = Math.max(...names.map((name) => name.length)) + 2;
  return [
    `Deno ${found.deno}, ${found.system}, ${found.cores} cores, ` +
    `${gigabytes(memory.totalBytes)} memory (${gigabytes(memory.availableBytes)} available)`,
    "",
    "LibTorch was looked for in this order:",
    ...libtorch.searched.map(({ place, finding, folder }) =>
      `  ${folder === undefined ? " " : folder === libtorch.chosen?.path ? "*" : "+"} ${place.padEnd(width)}${finding}`
    ),
    libtorch.chosen === undefined
      ? "  none found: deno task install-libtorch, or pip install torch, or set LIBTORCH"
      : `  * is used: ${libtorch.cudaBuild ? "a build with CUDA" : "a build without CUDA"}`,
    "",
    "CUDA devices:",
    ...(cuda.devices.length > 0
      ? cuda.devices.map(({ name, bytes }, i) => `  cuda:${i} ${name}, ${gigabytes(bytes)}`)
      : [`  none: ${cuda.reason}`]),
    "",
    "Engines:",
    ...found.engines.map(({ available, text, lacks = [] }, i) =>
      `  ${available ? "+" : "-"} ${names[i].padEnd(engineWidth)}${text}${
        lacks.map((dtype) => `, no ${dtype}`).join("")
      }`
    ),
    "",
    `--engine auto takes: ${found.recommendation}`,
  ].join("\n");
}

if (import.meta.main) {
  await runCommand(async () => {
    const flags = readFlags(COMMAND, Deno.args);
    const found = await examineEngines();
    console.log(flags.has("json") ? JSON.stringify(found, undefined, 2) : examinationText(found));
  });
}
