/**
 * Runs a test on every engine that this machine has.
 *
 * `forEachEngine` registers one test an engine. An engine that is not there is registered as ignored, with its reason in the
 * test's name. Engines are opened once a process and kept; but tfjs computes with one backend at a time, so `wasm` and
 * `tensorflow` take turns: opening the one closes the other. A test may close the engine that it was given.
 *
 * `RLVR_TEST_ENGINES=wasm,torch:cpu` restricts the list. `torch:pretended` stands for `torch:cuda` where there is no GPU
 * (`tests/tensor/pretended_device`): what computes is tested on it, not the worlds and recipes that only use that.
 */
import type { DType } from "../../lib/tensor/dtype.ts";
import type { Engine } from "../../lib/tensor/engine.ts";
import { openTfjsEngine } from "../../lib/tensor/tfjs/engine.ts";
import { openTorchEngine } from "../../lib/tensor/torch/engine.ts";
import { loadPretendedDevice, PRETENDED } from "../tensor/pretended_device/pretended_device.ts";

/** An engine as tests name it. */
export type EngineName = "wasm" | "torch:cpu" | "torch:cuda" | "torch:pretended" | "tensorflow";

/** A test's body. */
export type EngineTest = (engine: Engine, t: Deno.TestContext) => void | Promise<void>;

interface Slot {
  readonly name: EngineName;
  /** Slots of one group share a library that serves one of them at a time. */
  readonly group: string;
  readonly open: () => Engine | Promise<Engine>;
  engine?: Engine;
  /** Types that exist here, once opened. */
  dtypes: DType[];
  /** Why the engine is not there. */
  reason?: string;
}

const DTYPES: DType[] = ["float32", "float64", "bfloat16", "int64", "bool"];

const slots: Slot[] = [
  { name: "tensorflow", group: "tfjs", open: () => openTfjsEngine({ backend: "tensorflow" }), dtypes: [] },
  { name: "wasm", group: "tfjs", open: () => openTfjsEngine({ backend: "wasm" }), dtypes: [] },
  { name: "torch:cpu", group: "torch:cpu", open: () => openTorchEngine({ device: "cpu" }), dtypes: [] },
  { name: "torch:cuda", group: "torch:cuda", open: () => openTorchEngine({ device: "cuda" }), dtypes: [] },
  { name: "torch:pretended", group: "torch:pretended", open: openPretended, dtypes: [] },
];

/** Rooms of tests that run on the pretended device. */
const PRETENDED_ROOMS = ["tensor", "nn", "models", "train"];

const registered = new Set<string>();

/** Engines that this file's tests are for. */
const offered = slots.filter(({ name }) =>
  name !== "torch:pretended" || PRETENDED_ROOMS.some((room) => Deno.mainModule.includes(`/tests/${room}/`))
);

/** Names given to `forEachEngine` so far in this process. */
export function registeredNames(): ReadonlySet<string> {
  return registered;
}

async function openPretended(): Promise<Engine> {
  await loadPretendedDevice();
  return await openTorchEngine({ device: PRETENDED });
}

async function acquire(slot: Slot): Promise<Engine> {
  if (slot.engine && !slot.engine.closed) return slot.engine;
  for (const other of slots) {
    if (other !== slot && other.group === slot.group && other.engine && !other.engine.closed) other.engine.close();
  }
  slot.engine = await slot.open();
  return slot.engine;
}

/** Finds out, before any test is registered, which engines are there. */
async function probe(): Promise<void> {
  const wanted = Deno.env.get("RLVR_TEST_ENGINES")?.split(",").map((each) => each.trim());
  for (const name of wanted ?? []) {
    if (!slots.some((slot) => slot.name === name)) {
      throw new RangeError(`RLVR_TEST_ENGINES names ${name}: known are ${slots.map((slot) => slot.name).join(", ")}`);
    }
  }
  for (const slot of offered) {
    if (wanted && !wanted.includes(slot.name)) {
      slot.reason = "not in RLVR_TEST_ENGINES";
      continue;
    }
    try {
      const engine = await acquire(slot);
      slot.dtypes = DTYPES.filter((dtype) => engine.supports(dtype));
    } catch (error) {
      slot.reason = (error instanceof Error ? error.message : String(error)).split("\n")[0];
    }
  }
}

// LibTorch reads this when it is loaded. Tests compute little, and threads that wait for each other are slow on a busy machine.
if (!Deno.env.has("OMP_NUM_THREADS")) Deno.env.set("OMP_NUM_THREADS", "1");
await probe();

/** Opens (or gives again) the engine that an engine of the same name replaced: for tests that close theirs. */
export function reopened(engine: Engine): Promise<Engine> {
  const slot = slots.find((each) => each.engine === engine);
  if (!slot) throw new Error(`not an engine of the tests: ${engine.description}`);
  return acquire(slot);
}

/**
 * Registers one test an engine, `name · engine`.
 *
 * @param options.needs Element types that the test cannot do without: an engine that lacks one is ignored.
 * @param options.onPretended Whether it runs on the pretended device too, which is slow: not where a long training shows nothing
 *   that short tests do not. @default {true}
 */
export function forEachEngine(
  name: string,
  fn: EngineTest,
  { needs = [], onPretended = true }: { needs?: DType[]; onPretended?: boolean } = {},
): void {
  registered.add(name);
  for (const slot of offered) {
    if (slot.name === "torch:pretended" && !onPretended) continue;
    const lacking = needs.find((dtype) => !slot.dtypes.includes(dtype));
    const reason = slot.reason ?? (lacking && `no ${lacking}`);
    Deno.test({
      name: reason ? `${name} · ${slot.name} (ignored: ${reason})` : `${name} · ${slot.name}`,
      ignore: reason !== undefined,
      // An engine outlives the test that happens to open it.
      sanitizeOps: false,
      sanitizeResources: false,
      fn: async (t) => {
        await fn(await acquire(slot), t);
      },
    });
  }
}

/** Registers one test, on the fastest engine that is there: for long ones of what is the same on each. */
export function onOneEngine(name: string, fn: EngineTest): void {
  const fastest = ["torch:cpu", "wasm", "tensorflow"].flatMap((each) => slots.filter((slot) => slot.name === each));
  const slot = fastest.find(({ reason }) => reason === undefined);
  Deno.test({
    name: slot ? `${name} · ${slot.name}` : `${name} (ignored: no engine)`,
    ignore: slot === undefined,
    sanitizeOps: false,
    sanitizeResources: false,
    fn: async (t) => {
      await fn(await acquire(slot!), t);
    },
  });
}

/** Engines that this machine has and `RLVR_TEST_ENGINES` allows. */
export function engineNames(): EngineName[] {
  return offered.filter((slot) => slot.reason === undefined).map((slot) => slot.name);
}
