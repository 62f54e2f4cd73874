import { ropeTables, rotate, rotationAt } from "../../lib/nn/rope.ts";
import { tidy } from "../../lib/tensor/scope.ts";
import { concat, tensor } from "../../lib/tensor/tensor.ts";
import { assertClose } from "../support/compare.ts";
import { forEachEngine } from "../support/engines.ts";
import { expected } from "./nn_fixture.ts";

const { positions, cosines, sines } = expected.rope;

forEachEngine("rotations are Hugging Face's, at large positions too", async (engine) => {
  const x = Array.from({ length: positions.length * 64 }, (_, i) => Math.sin(i));
  const wanted = x.map((value, i) => {
    const place = i % 64, other = place < 32 ? -x[i + 32] : x[i - 32];
    return value * cosines[i] + other * sines[i];
  });
  const rotated = tidy(() => {
    const runs = positions.map((start) => ({ start, length: 1, repeats: 1 }));
    const rotation = rotationAt(ropeTables(engine, 64, 10_000, 8192), runs, "float32");
    return rotate(tensor(engine, x, [positions.length, 1, 64], "float32"), rotation);
  });
  assertClose(await rotated.data(), wanted, 1e-5, "rotated");
  rotated.dispose();
});

forEachEngine("runs of positions lie one after the other, each repeated", async (engine) => {
  const [ours, wanted] = tidy(() => {
    const tables = ropeTables(engine, 8, 10_000, 20);
    const runs = [{ start: 0, length: 3, repeats: 2 }, { start: 3, length: 2, repeats: 1 }];
    const rows = [[0, 3], [0, 3], [3, 2]].map(([start, length]) => tables.sines.narrow(0, start, length));
    return [rotationAt(tables, runs, "float32").sines.reshape([8, 8]), concat(rows)];
  });
  assertClose(await ours.data(), await wanted.data() as Float32Array, 0, "sines");
  ours.dispose();
  wanted.dispose();
});
