/** `deno task install-libtorch`: puts LibTorch into the project's own folder, where the torch engine finds it. */
import { UserError } from "../lib/base/user_error.ts";
import { type Build, BUILDS, DEFAULT_VERSION, installLibtorch } from "../lib/tensor/install/libtorch.ts";
import { loadLibrary } from "../lib/tensor/torch/symbols.ts";
import { readFlags, runCommand } from "./cli.ts";

const COMMAND = {
  name: "install-libtorch",
  summary: "Installs LibTorch, the library behind the fast torch engine, into this project's folder.\n" +
    "An installation that is there is left alone. A torch that pip installed needs none of this.",
  flags: {
    build: { value: BUILDS.join("|"), description: "PyTorch's build: cpu, or for a version of CUDA", default: "cpu" },
    version: { value: "X.Y.Z", description: "LibTorch's version", default: DEFAULT_VERSION },
    from: { value: "FILE|URL", description: "A LibTorch zip or a torch wheel, by https", default: "PyTorch's server" },
    sha256: {
      value: "HEX",
      description: "What the archive must be",
      default: "what PyTorch's index states, where it does",
    },
    force: { description: "Replace an installation that is there" },
  },
  epilogue: () =>
    "You should see the folder that was filled and the version that loads from it. Downloads go on where they broke off.",
};

const megabytes = (bytes: number) => `${(bytes / 1e6).toFixed(0)} MB`;

/** A line that is rewritten on a terminal, and a line every tenth of the way elsewhere. */
function progressLine(): (stage: string, done: number, total: number | undefined) => void {
  const terminal = Deno.stderr.isTerminal();
  let last = "", lastTime = 0;
  return (stage, done, total) => {
    const share = total ? Math.floor(100 * done / total) : undefined;
    const now = performance.now();
    const mark = `${stage} ${share === undefined ? "" : terminal ? share : Math.floor(share / 10)}`;
    if (mark === last && (share !== undefined || now - lastTime < 2000)) return;
    [last, lastTime] = [mark, now];
    const text = `${stage} ${share === undefined ? "" : `${share} % `}(${megabytes(done)}${
      total ? ` of ${megabytes(total)}` : ""
    })`;
    Deno.stderr.writeSync(
      new TextEncoder().encode(terminal ? `\r\x1b[K${text}${share === 100 ? "\n" : ""}` : `${text}\n`),
    );
  };
}

if (import.meta.main) {
  await runCommand(async (signal) => {
    const flags = readFlags(COMMAND, Deno.args);
    const build = flags.text("build") ?? "cpu";
    if (!(BUILDS as readonly string[]).includes(build)) {
      throw new UserError(`--build must be one of ${BUILDS.join(", ")}: received "${build}"`);
    }
    const { folder, already, bytes, cuda, archive } = await installLibtorch({
      build: build as Build,
      version: flags.text("version"),
      from: flags.text("from"),
      sha256: flags.text("sha256"),
      force: flags.has("force"),
      check: (path) => void loadLibrary({ path, place: "the download" }),
      onProgress: progressLine(),
      signal,
    });
    const { version } = loadLibrary({ path: folder, place: "the project's folder" });
    console.log(
      already
        ? `LibTorch ${version} is already in ${folder} (${megabytes(bytes)}): left alone; --force replaces it`
        : `LibTorch ${version} is in ${folder} (${megabytes(bytes)})`,
    );
    if (archive) {
      console.log(
        `The archive's SHA-256 is ${archive.sha256}, ` +
          (archive.isVerified ? "as stated" : "which nothing was compared with: --sha256 does, where you know it"),
      );
    }
    if (cuda === "partial") {
      console.log(
        "It is a CUDA build that came without NVIDIA's libraries, as wheels do: it uses those of Python's packages or of the " +
          "CUDA toolkit on this machine",
      );
    }
  });
}
