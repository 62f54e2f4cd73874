/** The torch engine on the pretended device, with its calls of LibTorch counted too. */
import { Context } from "../../../lib/tensor/torch/context.ts";
import { parseDevice } from "../../../lib/tensor/torch/cuda.ts";
import { composeEngine, type TorchEngine } from "../../../lib/tensor/torch/engine.ts";
import { setMode } from "../../../lib/tensor/torch/gradients.ts";
import type { Library } from "../../../lib/tensor/torch/symbols.ts";
import { type DeviceCounts, loadPretendedDevice, PRETENDED } from "./pretended_device.ts";

/** What some work asked of the device. */
export interface StepCounts extends Pick<DeviceCounts, "kernels" | "uploads" | "reads"> {
  /**
   * Operators that the engine asked for: those that autograd records with their views, other views (arithmetic on strides) not; what
   * a backward pass runs is one.
   */
  operators: number;
  /** Calls of LibTorch's functions. */
  calls: number;
}

/** Calls that run an operator. */
const OPERATORS = /^torch_call_dispatcher$|^aoti_torch_aten_|^_ZN2at4_ops/;

/** The engine with its counters. */
export interface CountingEngine {
  engine: TorchEngine;
  /** Forgets what was counted so far. */
  reset(): void;
  /** Kernels since then by name, the most frequent first. */
  byName(): DeviceCounts["byName"];
  /** What `work` asked, or what it asked since its last `reset`. */
  counted(work: () => Promise<unknown>): Promise<StepCounts>;
}

/** @throws {Error} When there is no such device here: says why. */
export async function openCountingEngine(): Promise<CountingEngine> {
  const device = await loadPretendedDevice();
  let calls = 0, operators = 0;
  const counting = <Symbols extends object>(symbols: Symbols): Symbols =>
    Object.fromEntries(
      Object.entries(symbols).map(([name, symbol]) => {
        if (typeof symbol !== "function") return [name, symbol];
        const isOperator = OPERATORS.test(name);
        return [name, (...args: unknown[]) => {
          calls++;
          if (isOperator) operators++;
          return symbol(...args);
        }];
      }),
    ) as Symbols;
  const { library } = device;
  const counted: Library = { ...library, torch: counting(library.torch), c10: counting(library.c10) };
  setMode(library);
  const engine = composeEngine(new Context(counted, parseDevice(PRETENDED)), 1);
  const reset = () => {
    calls = operators = 0;
    device.reset();
  };
  return {
    engine,
    reset,
    byName: () => device.counts().byName,
    async counted(work) {
      reset();
      await work();
      const { kernels, uploads, reads } = device.counts();
      return { operators, kernels, calls, uploads, reads };
    },
  };
}
