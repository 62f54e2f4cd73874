/** What the tests of file formats share: the fixtures' expectations, and a folder that goes away. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { UserError } from "../../lib/base/user_error.ts";

export const FIXTURES = join(import.meta.dirname!, "../io/fixtures");

export interface ExpectedArray {
  dtype: string;
  shape: number[];
  values: (number | string)[];
}

export interface ExpectedTensor {
  shape: number[];
  bytes: number[];
}

/** What `make_fixtures.py` says its files hold. */
export const expected: {
  npz: [string, ExpectedArray][];
  safetensors: [string, ExpectedTensor][];
  as_float32: Record<string, (number | string)[]>;
  state: [string, ExpectedTensor][];
  views: [string, ExpectedTensor][];
} = JSON.parse(Deno.readTextFileSync(join(FIXTURES, "expected.json")));

export const fixture = (name: string): string => join(FIXTURES, name);

/** Runs `use` with a new folder, which is removed afterwards. */
export async function withFolder(use: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "rlvr_" });
  try {
    await use(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** Makes a named pipe; false where the system has none. */
export async function makePipe(path: string): Promise<boolean> {
  return await new Deno.Command("mkfifo", { args: [path] }).output().then(({ success }) => success, () => false);
}

/** Asserts that `run` fails with a one-line UserError that matches all of `patterns`. */
export async function rejectsUserError(run: () => unknown, ...patterns: (RegExp | string)[]): Promise<void> {
  try {
    await run();
  } catch (error) {
    assert.ok(error instanceof UserError, `not a UserError: ${error instanceof Error ? error.stack : error}`);
    assert.ok(!error.message.includes("\n"), `more than one line: ${error.message}`);
    for (const pattern of patterns) {
      if (typeof pattern === "string") {
        assert.ok(error.message.includes(pattern), `${pattern} not in: ${error.message}`);
      } else assert.match(error.message, pattern);
    }
    return;
  }
  assert.fail(`no error; expected one with ${patterns.join(", ")}`);
}

/** A Python with numpy and safetensors, for parity in the other direction; undefined where there is none. */
export const python: string | undefined = [Deno.env.get("RLVR_PYTHON"), "python3"].find((command) => {
  try {
    const { success } = new Deno.Command(command ?? "", {
      args: ["-c", "import numpy, safetensors.numpy"],
      stdout: "null",
      stderr: "null",
    }).outputSync();
    return success;
  } catch {
    return false;
  }
});

/** Runs a Python program and returns what it prints. */
export async function runPython(program: string, ...args: string[]): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(python!, { args: ["-c", program, ...args] }).output();
  assert.ok(success, new TextDecoder().decode(stderr));
  return new TextDecoder().decode(stdout);
}
