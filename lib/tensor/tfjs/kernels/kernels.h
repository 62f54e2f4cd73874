// Shared by the kernels: vectors of four floats, fused multiply-add, exp.
#pragma once
#include <wasm_simd128.h>

typedef v128_t v128;

// Relaxed SIMD: one instruction on machines that have fused multiply-add.
#define MADD(a, b, c) wasm_f32x4_relaxed_madd(a, b, c)

#define V(x) wasm_f32x4_splat(x)

static inline float hsum(v128 x) {
  x = wasm_f32x4_add(x, wasm_i32x4_shuffle(x, x, 2, 3, 0, 1));
  return wasm_f32x4_extract_lane(x, 0) + wasm_f32x4_extract_lane(x, 1);
}

static inline float hmax(v128 x) {
  x = wasm_f32x4_max(x, wasm_i32x4_shuffle(x, x, 2, 3, 0, 1));
  x = wasm_f32x4_max(x, wasm_i32x4_shuffle(x, x, 1, 0, 3, 2));
  return wasm_f32x4_extract_lane(x, 0);
}

static inline float root(float x) { return wasm_f32x4_extract_lane(wasm_f32x4_sqrt(V(x)), 0); }

// The first `count` (1 to 3) floats at `p`, zeros (or `fill`) after them; and their way back.
static inline v128 load_some(const float *p, int count, float fill) {
  v128 x = V(fill);
  x = wasm_v128_load32_lane(p, x, 0);
  if (count > 1) x = wasm_v128_load32_lane(p + 1, x, 1);
  if (count > 2) x = wasm_v128_load32_lane(p + 2, x, 2);
  return x;
}

static inline void store_some(float *p, int count, v128 x) {
  wasm_v128_store32_lane(p, x, 0);
  if (count > 1) wasm_v128_store32_lane(p + 1, x, 1);
  if (count > 2) wasm_v128_store32_lane(p + 2, x, 2);
}

// exp to a few units in the last place: 2ⁿ · eʳ with |r| ≤ ln 2 / 2 and a polynomial; 2ⁿ in two steps, so that both ends of the
// range come out. NaN stays NaN.
static inline v128 vexp(v128 x) {
  v128 y = wasm_f32x4_pmin(wasm_f32x4_pmax(x, V(-104)), V(89));
  v128 n = wasm_f32x4_nearest(wasm_f32x4_mul(y, V(1.44269504f)));
  v128 r = MADD(n, V(-0.693359375f), y);
  r = MADD(n, V(2.12194440e-4f), r);
  v128 p = MADD(V(1.9875691500e-4f), r, V(1.3981999507e-3f));
  p = MADD(p, r, V(8.3334519073e-3f));
  p = MADD(p, r, V(4.1665795894e-2f));
  p = MADD(p, r, V(1.6666665459e-1f));
  p = MADD(p, r, V(5.0000001201e-1f));
  p = MADD(p, wasm_f32x4_mul(r, r), wasm_f32x4_add(r, V(1)));
  v128 whole = wasm_i32x4_trunc_sat_f32x4(n), half = wasm_i32x4_shr(whole, 1), bias = wasm_i32x4_splat(127);
  v128 low = wasm_i32x4_shl(wasm_i32x4_add(half, bias), 23);
  v128 high = wasm_i32x4_shl(wasm_i32x4_add(wasm_i32x4_sub(whole, half), bias), 23);
  return wasm_f32x4_mul(wasm_f32x4_mul(p, low), high);
}

void gemm(int m, int n, int k, const float *a, int a_row, int a_column, const float *b, int b_row, int b_column, float *c,
          int ldc, float alpha, int add, float *scratch);
int gemm_scratch(void);
void column_sums(int rows, int n, const float *x, float *out, float *room);
