/** Numbers that both sides make for themselves, alike: a hash of the index (`reference/hashed_numbers.py` is its twin). */

/** `count` numbers in [−0.5, 0.5), the same for the same seed. */
export function hashed(count: number, seed: number): Float32Array {
  const out = new Float32Array(count);
  const offset = Math.imul(seed + 1, 0x85ebca6b);
  for (let i = 0; i < count; i++) {
    let h = (Math.imul(i, 0x9e3779b1) + offset) | 0;
    h = Math.imul(h ^ (h >>> 15), 0x2c1b3c6d);
    h = Math.imul(h ^ (h >>> 12), 0x297a2d39);
    h ^= h >>> 15;
    out[i] = (h >>> 8) / 2 ** 24 - 0.5;
  }
  return out;
}

/** `count` token ids below `vocabulary`. */
export function hashedTokens(count: number, seed: number, vocabulary: number): Int32Array {
  return Int32Array.from(hashed(count, seed), (x) => Math.floor((x + 0.5) * vocabulary));
}
