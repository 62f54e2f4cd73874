// Activations and their gradients, and AdamW.
#include "kernels.h"

static inline v128 sigmoid(v128 x) { return wasm_f32x4_div(V(1), wasm_f32x4_add(V(1), vexp(wasm_f32x4_neg(x)))); }

// Near 0 a polynomial: 1 − 2 / (e²ˣ + 1) would lose its digits there.
static inline v128 hyperbolic(v128 x) {
  v128 z = wasm_f32x4_mul(x, x), far = wasm_f32x4_sub(V(1), wasm_f32x4_div(V(2), wasm_f32x4_add(vexp(wasm_f32x4_add(x, x)), V(1))));
  v128 p = MADD(V(-5.70498872745e-3f), z, V(2.06390887954e-2f));
  p = MADD(p, z, V(-5.37397155531e-2f));
  p = MADD(p, z, V(1.33314422036e-1f));
  p = MADD(p, z, V(-3.33332819422e-1f));
  v128 near = MADD(wasm_f32x4_mul(p, z), x, x);
  return wasm_v128_bitselect(near, far, wasm_f32x4_lt(wasm_f32x4_abs(x), V(0.625f)));
}

// Φ(x), the normal distribution, by Abramowitz & Stegun 7.1.26 (error below 1e-7); also gives e^(−x²/2).
static inline v128 normal(v128 x, v128 *bell) {
  v128 y = wasm_f32x4_mul(wasm_f32x4_abs(x), V(0.70710678f));
  v128 t = wasm_f32x4_div(V(1), MADD(V(0.3275911f), y, V(1)));
  v128 p = MADD(V(1.061405429f), t, V(-1.453152027f));
  p = MADD(p, t, V(1.421413741f));
  p = MADD(p, t, V(-0.284496736f));
  p = MADD(p, t, V(0.254829592f));
  *bell = vexp(wasm_f32x4_neg(wasm_f32x4_mul(y, y)));
  v128 tail = wasm_f32x4_mul(wasm_f32x4_mul(wasm_f32x4_mul(p, t), *bell), V(0.5f));
  return wasm_v128_bitselect(tail, wasm_f32x4_sub(V(1), tail), wasm_f32x4_lt(x, V(0)));
}

enum { EXP, SIGMOID, TANH, SILU, GELU };

static inline v128 value(int op, v128 x) {
  v128 bell;
  switch (op) {
    case EXP: return vexp(x);
    case SIGMOID: return sigmoid(x);
    case TANH: return hyperbolic(x);
    case SILU: return wasm_f32x4_mul(x, sigmoid(x));
    default: return wasm_f32x4_mul(x, normal(x, &bell));
  }
}

// x is the result for EXP and SIGMOID, the operand for the others.
static inline v128 slope(int op, v128 x) {
  v128 s, bell;
  switch (op) {
    case EXP: return x;
    case SIGMOID: return wasm_f32x4_mul(x, wasm_f32x4_sub(V(1), x));
    case TANH:
      // 1 − tanh² has no digits left where tanh is near 1.
      s = vexp(wasm_f32x4_mul(wasm_f32x4_abs(x), V(-2)));
      bell = wasm_f32x4_add(s, V(1));
      return wasm_f32x4_div(wasm_f32x4_mul(s, V(4)), wasm_f32x4_mul(bell, bell));
    case SILU:
      s = sigmoid(x);
      return wasm_f32x4_mul(s, MADD(x, wasm_f32x4_sub(V(1), s), V(1)));
    default:
      s = normal(x, &bell);
      return MADD(wasm_f32x4_mul(x, bell), V(0.39894228f), s);
  }
}

#define EACH(op)                                                       \
  case op:                                                             \
    for (; i + 4 <= n; i += 4) wasm_v128_store(out + i, ONE(op, i));   \
    break;
#define ALL EACH(EXP) EACH(SIGMOID) EACH(TANH) EACH(SILU) EACH(GELU)

void activate(int op, int n, const float *x, float *out) {
  int i = 0;
#define ONE(op, i) value(op, wasm_v128_load(x + i))
  switch (op) { ALL }
#undef ONE
  if (i < n) store_some(out + i, n - i, value(op, load_some(x + i, n - i, 0)));
}

void activate_gradient(int op, int n, const float *x, const float *dy, float *out) {
  int i = 0;
#define ONE(op, i) wasm_f32x4_mul(slope(op, wasm_v128_load(x + i)), wasm_v128_load(dy + i))
  switch (op) { ALL }
#undef ONE
  if (i < n) store_some(out + i, n - i, wasm_f32x4_mul(slope(op, load_some(x + i, n - i, 0)), load_some(dy + i, n - i, 0)));
}

static inline v128 adam(v128 p, v128 g, v128 *m, v128 *v, v128 b1, v128 b2, v128 keep, v128 rate, v128 root2, v128 epsilon) {
  *m = MADD(b1, wasm_f32x4_sub(g, *m), *m);
  *v = MADD(b2, wasm_f32x4_sub(wasm_f32x4_mul(g, g), *v), *v);
  v128 bottom = MADD(wasm_f32x4_sqrt(*v), root2, epsilon);
  return wasm_f32x4_sub(wasm_f32x4_mul(p, keep), wasm_f32x4_mul(rate, wasm_f32x4_div(*m, bottom)));
}

// One update: out = p · keep − rate · m / (√v · root2 + ε); m and v change in place. b1 and b2 are 1 − β₁ and 1 − β₂.
void adamw(int n, const float *p, const float *g, float *m, float *v, float *out, float scale, float b1, float b2, float keep,
           float rate, float root2, float epsilon) {
  int i = 0;
  for (; i < n; i += 4) {
    int left = n - i;
    v128 mm, vv, next;
    if (left >= 4) {
      mm = wasm_v128_load(m + i), vv = wasm_v128_load(v + i);
      next = adam(wasm_v128_load(p + i), wasm_f32x4_mul(wasm_v128_load(g + i), V(scale)), &mm, &vv, V(b1), V(b2), V(keep), V(rate),
                  V(root2), V(epsilon));
      wasm_v128_store(m + i, mm);
      wasm_v128_store(v + i, vv);
      wasm_v128_store(out + i, next);
    } else {
      mm = load_some(m + i, left, 0), vv = load_some(v + i, left, 0);
      next = adam(load_some(p + i, left, 0), wasm_f32x4_mul(load_some(g + i, left, 0), V(scale)), &mm, &vv, V(b1), V(b2), V(keep),
                  V(rate), V(root2), V(epsilon));
      store_some(m + i, left, mm);
      store_some(v + i, left, vv);
      store_some(out + i, left, next);
    }
  }
}
