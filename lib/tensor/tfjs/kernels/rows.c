// What works on rows: softmax, sums of columns, picking and adding rows, attention.
#include "kernels.h"

__attribute__((import_module("env"), import_name("log"))) double natural_log(double x);

// Exponentials of `n` numbers less their maximum into `out`; returns their sum, and the maximum in `peak`.
static float exponentials(const float *x, float *out, int n, float scale, float *peak) {
  v128 top = V(-__builtin_inff()), sum = V(0), by = V(scale);
  int i = 0;
  for (; i + 4 <= n; i += 4) top = wasm_f32x4_max(top, wasm_f32x4_mul(wasm_v128_load(x + i), by));
  if (i < n) top = wasm_f32x4_max(top, wasm_f32x4_mul(load_some(x + i, n - i, x[i]), by));
  *peak = hmax(top);
  v128 shift = V(*peak);
  for (i = 0; i + 4 <= n; i += 4) {
    v128 e = vexp(wasm_f32x4_sub(wasm_f32x4_mul(wasm_v128_load(x + i), by), shift));
    sum = wasm_f32x4_add(sum, e);
    wasm_v128_store(out + i, e);
  }
  if (i < n) {
    v128 e = vexp(wasm_f32x4_sub(wasm_f32x4_mul(load_some(x + i, n - i, -__builtin_inff()), by), shift));
    sum = wasm_f32x4_add(sum, e);
    store_some(out + i, n - i, e);
  }
  return hsum(sum);
}

static void softmax_row(const float *x, float *out, int n, float scale) {
  float peak, sum = exponentials(x, out, n, scale, &peak);
  v128 by = V(1 / sum);
  int i = 0;
  for (; i + 4 <= n; i += 4) wasm_v128_store(out + i, wasm_f32x4_mul(wasm_v128_load(out + i), by));
  for (; i < n; i++) out[i] *= 1 / sum;
}

void softmax(int rows, int n, const float *x, float *out) {
  for (int r = 0; r < rows; r++) softmax_row(x + r * n, out + r * n, n, 1);
}

void log_softmax(int rows, int n, const float *x, float *out) {
  for (int r = 0; r < rows; r++, x += n, out += n) {
    float peak, sum = exponentials(x, out, n, 1, &peak), shift = (float)natural_log(sum) + peak;
    int i = 0;
    for (; i + 4 <= n; i += 4) wasm_v128_store(out + i, wasm_f32x4_sub(wasm_v128_load(x + i), V(shift)));
    for (; i < n; i++) out[i] = x[i] - shift;
  }
}

static float dot(const float *x, const float *y, int n) {
  v128 sum = V(0);
  int i = 0;
  for (; i + 4 <= n; i += 4) sum = MADD(wasm_v128_load(x + i), wasm_v128_load(y + i), sum);
  float out = hsum(sum);
  for (; i < n; i++) out += x[i] * y[i];
  return out;
}

// dx = scale · p · (dy − Σ p · dy); may write over dy.
static void softmax_row_gradient(const float *p, const float *dy, float *dx, int n, float scale) {
  float sum = dot(p, dy, n);
  int i = 0;
  for (; i + 4 <= n; i += 4) {
    v128 centred = wasm_f32x4_sub(wasm_v128_load(dy + i), V(sum));
    wasm_v128_store(dx + i, wasm_f32x4_mul(wasm_f32x4_mul(wasm_v128_load(p + i), V(scale)), centred));
  }
  for (; i < n; i++) dx[i] = scale * p[i] * (dy[i] - sum);
}

void softmax_gradient(int rows, int n, const float *p, const float *dy, float *dx) {
  for (int r = 0; r < rows; r++) softmax_row_gradient(p + r * n, dy + r * n, dx + r * n, n, 1);
}

void log_softmax_gradient(int rows, int n, const float *y, const float *dy, float *dx) {
  for (int r = 0; r < rows; r++, y += n, dy += n, dx += n) {
    v128 sums = V(0);
    int i = 0;
    for (; i + 4 <= n; i += 4) sums = wasm_f32x4_add(sums, wasm_v128_load(dy + i));
    float sum = hsum(sums);
    for (; i < n; i++) sum += dy[i];
    for (i = 0; i + 4 <= n; i += 4) {
      v128 away = wasm_f32x4_mul(vexp(wasm_v128_load(y + i)), V(sum));
      wasm_v128_store(dx + i, wasm_f32x4_sub(wasm_v128_load(dy + i), away));
    }
    if (i < n) {
      v128 away = wasm_f32x4_mul(vexp(load_some(y + i, n - i, 0)), V(sum));
      store_some(dx + i, n - i, wasm_f32x4_sub(load_some(dy + i, n - i, 0), away));
    }
  }
}

// out [n] = the sum over rows of x [rows, n]. Sixteen rows are added up in float, those sums in double: room for 3 · n floats.
void column_sums(int rows, int n, const float *x, float *out, float *room) {
  double *total = (double *)room;
  float *part = room + 2 * n;
  for (int i = 0; i < n; i++) total[i] = 0;
  for (int begin = 0; begin < rows; begin += 16) {
    int end = begin + 16 < rows ? begin + 16 : rows;
    for (int i = 0; i < n; i++) part[i] = 0;
    for (int r = begin; r < end; r++, x += n) {
      int i = 0;
      for (; i + 4 <= n; i += 4) wasm_v128_store(part + i, wasm_f32x4_add(wasm_v128_load(part + i), wasm_v128_load(x + i)));
      for (; i < n; i++) part[i] += x[i];
    }
    for (int i = 0; i < n; i++) total[i] += part[i];
  }
  for (int i = 0; i < n; i++) out[i] = (float)total[i];
}

static float row_sum(int n, const float *x) {
  double total = 0;
  for (int begin = 0; begin < n; begin += 64) {
    int end = begin + 64 < n ? begin + 64 : n, i = begin;
    v128 part = V(0);
    for (; i + 4 <= end; i += 4) part = wasm_f32x4_add(part, wasm_v128_load(x + i));
    total += hsum(part);
    for (; i < end; i++) total += x[i];
  }
  return (float)total;
}

// out [outer, inner] = the sum over the middle of x [outer, n, inner]; room as for column_sums.
void sums(int outer, int n, int inner, const float *x, float *out, float *room) {
  for (int o = 0; o < outer; o++) {
    if (inner == 1) out[o] = row_sum(n, x + o * n);
    else column_sums(n, inner, x + o * n * inner, out + o * inner, room);
  }
}

// x [rows, n] + bias [n] into out.
void add_bias(int rows, int n, const float *x, const float *bias, float *out) {
  for (int r = 0; r < rows; r++, x += n, out += n) {
    int i = 0;
    for (; i + 4 <= n; i += 4) wasm_v128_store(out + i, wasm_f32x4_add(wasm_v128_load(x + i), wasm_v128_load(bias + i)));
    for (; i < n; i++) out[i] = x[i] + bias[i];
  }
}

// Where the first index lies that is not within 0 … count − 1; −1 when there is none.
int find_outside(int m, int count, const int *indices) {
  for (int r = 0; r < m; r++) {
    if (indices[r] < 0 || indices[r] >= count) return r;
  }
  return -1;
}

// out [count, n] += rows of y [m, n] at `indices` [m].
void add_rows(int m, int n, const float *y, const int *indices, float *out) {
  for (int r = 0; r < m; r++, y += n) {
    float *to = out + indices[r] * n;
    int i = 0;
    for (; i + 4 <= n; i += 4) wasm_v128_store(to + i, wasm_f32x4_add(wasm_v128_load(to + i), wasm_v128_load(y + i)));
    for (; i < n; i++) to[i] += y[i];
  }
}

// out [m, n] = rows of x at `indices` [m].
void pick_rows(int m, int n, const float *x, const int *indices, float *out) {
  for (int r = 0; r < m; r++, out += n) {
    const float *from = x + indices[r] * n;
    int i = 0;
    for (; i + 4 <= n; i += 4) wasm_v128_store(out + i, wasm_v128_load(from + i));
    for (; i < n; i++) out[i] = from[i];
  }
}

// Attention of `heads` independent heads: p [heads, tq, tk] and out [heads, tq, d].
void attention(int heads, int tq, int tk, int d, const float *q, const float *k, const float *v, float scale, int causal, float *p,
               float *out, float *scratch) {
  for (int h = 0; h < heads; h++) {
    gemm(tq, tk, d, q, d, 1, k, 1, d, p, tk, 1, 0, scratch);
    for (int i = 0; i < tq; i++) {
      int seen = causal ? i + tk - tq + 1 : tk;
      softmax_row(p + i * tk, p + i * tk, seen, scale);
      for (int j = seen; j < tk; j++) p[i * tk + j] = 0;
    }
    gemm(tq, d, tk, p, tk, 1, v, d, 1, out, d, 1, 0, scratch);
    q += tq * d, k += tk * d, v += tk * d, p += tq * tk, out += tq * d;
  }
}

// Gradients of attention; `ds` has room for tq · tk numbers.
void attention_gradient(int heads, int tq, int tk, int d, const float *q, const float *k, const float *v, const float *p,
                        const float *dy, float scale, float *dq, float *dk, float *dv, float *ds, float *scratch) {
  for (int h = 0; h < heads; h++) {
    gemm(tk, d, tq, p, 1, tk, dy, d, 1, dv, d, 1, 0, scratch);
    gemm(tq, tk, d, dy, d, 1, v, 1, d, ds, tk, 1, 0, scratch);
    for (int i = 0; i < tq; i++) softmax_row_gradient(p + i * tk, ds + i * tk, ds + i * tk, tk, scale);
    gemm(tq, d, tk, ds, tk, 1, k, d, 1, dq, d, 1, 0, scratch);
    gemm(tk, d, tq, ds, 1, tk, q, d, 1, dk, d, 1, 0, scratch);
    q += tq * d, k += tk * d, v += tk * d, p += tq * tk;
    dy += tq * d, dq += tq * d, dk += tk * d, dv += tk * d;
  }
}
