/**
 * Cases of video: decoding frames from tokens against PyTorch, and interactive rollouts with a shared context against
 * those without. See `case.ts`.
 *
 * The tokenizers have the shape of the released ones, with fewer channels and frames of half the height and width.
 */
import type { BenchCase, CaseSizes } from "./case.ts";

/** What both tokenizers have in common. */
const DECODER = {
  height: 128,
  width: 160,
  layers: 2,
  latent: 32,
  groups: 16,
  levels: [7, 5, 5, 5, 5],
  midAttention: true,
  frames: 8,
};
const TINY_DECODER = { ...DECODER, height: 32, width: 32, layers: 1, latent: 8, groups: 2, frames: 2 };

/** Interactive rollouts: a tokenizer whose context is 320 tokens and every other frame 20, and the transformer. */
const INTERACTIVE = {
  ...DECODER,
  height: 64,
  width: 80,
  channels: [16, 32, 32],
  groups: 8,
  levels: [8, 5, 5, 5],
  patch: 4,
  maxAttentionRows: 16,
  attentionHeads: 4,
  rollouts: 16,
  frames: 7,
  actionWidth: 4,
  actionBins: 256,
  transformerWidth: 256,
  transformerLayers: 4,
  transformerHeads: 4,
  inner: 1024,
};
const TINY_INTERACTIVE = {
  ...INTERACTIVE,
  ...TINY_DECODER,
  channels: [4, 8],
  patch: 4,
  rollouts: 3,
  actionBins: 8,
  transformerWidth: 16,
  transformerLayers: 2,
  transformerHeads: 2,
  inner: 32,
};

function decoding(name: string, note: string, kind: string, sizes: CaseSizes): BenchCase {
  const { frames, height, width } = sizes as Record<string, number>;
  return {
    name,
    title: `decoding ${frames} frames of ${height}×${width}, ${note}`,
    kind,
    sizes,
    frames,
    goal: 0.95,
    needs: "torch",
    ownProcesses: true,
  };
}

/** Cases of video. @param quick Small sizes that only show that everything runs. */
export function videoCases(quick: boolean): BenchCase[] {
  const decoder = quick ? TINY_DECODER : DECODER, interactive = quick ? TINY_INTERACTIVE : INTERACTIVE;
  const { rollouts, frames } = interactive;
  return [
    decoding("decode-frames", "compressive tokenizer, context at hand", "decodeClip", {
      ...decoder,
      channels: quick ? [4, 4, 8, 8] : [32, 64, 64, 128],
      patch: quick ? 2 : 4,
      // The lowest resolution and the next one see the context, as in the released model.
      maxAttentionRows: quick ? 8 : 32,
      attentionHeads: 4,
    }),
    decoding("decode-frames-single", "per-frame tokenizer", "decodeFrames", {
      ...decoder,
      channels: quick ? [4, 4, 4, 8, 8] : [32, 64, 64, 128, 192],
    }),
    {
      name: "interactive-shared",
      title: `${rollouts} interactive rollouts of ${frames} frames from one start, context shared`,
      kind: "interactive",
      sizes: { ...interactive, shared: true },
      against: { title: "a context each", sizes: { ...interactive, shared: false } },
      frames: rollouts * frames,
      needs: "nothing",
      ownProcesses: true,
    },
  ];
}
