// Products of float32 matrices for the WASM engine: C = alpha · A · B (+ C), operands addressed by strides, so that a
// transposed one costs nothing extra. Blocks of A and B are packed into panels that a 6 × 8 tile of registers walks.
#include "kernels.h"

enum { MR = 6, NR = 8, KC = 256, MC = 96, NC = 512 };

// Floats of scratch that gemm needs: packed A, packed B, one tile.
int gemm_scratch(void) { return MC * KC + NC * KC + MR * NR; }

// Four vectors as the rows of a matrix, transposed.
#define TRANSPOSE(a, b, c, d)                                                                                   \
  {                                                                                                             \
    v128 t0 = wasm_i32x4_shuffle(a, b, 0, 4, 1, 5), t1 = wasm_i32x4_shuffle(a, b, 2, 6, 3, 7);                   \
    v128 t2 = wasm_i32x4_shuffle(c, d, 0, 4, 1, 5), t3 = wasm_i32x4_shuffle(c, d, 2, 6, 3, 7);                   \
    a = wasm_i64x2_shuffle(t0, t2, 0, 2), b = wasm_i64x2_shuffle(t0, t2, 1, 3);                                  \
    c = wasm_i64x2_shuffle(t1, t3, 0, 2), d = wasm_i64x2_shuffle(t1, t3, 1, 3);                                  \
  }

static void pack_a(const float *a, int row, int column, int rows, int depth, float *to) {
  for (int i = 0; i < rows; i += MR, a += MR * row) {
    int left = rows - i < MR ? rows - i : MR, k = 0;
    if (left == MR && column == 1) {
      for (; k + 4 <= depth; k += 4, to += 4 * MR) {
        const float *at = a + k;
        v128 x0 = wasm_v128_load(at), x1 = wasm_v128_load(at + row), x2 = wasm_v128_load(at + 2 * row);
        v128 x3 = wasm_v128_load(at + 3 * row), x4 = wasm_v128_load(at + 4 * row), x5 = wasm_v128_load(at + 5 * row);
        TRANSPOSE(x0, x1, x2, x3)
        v128 low = wasm_i32x4_shuffle(x4, x5, 0, 4, 1, 5), high = wasm_i32x4_shuffle(x4, x5, 2, 6, 3, 7);
        wasm_v128_store(to, x0);
        wasm_v128_store64_lane(to + 4, low, 0);
        wasm_v128_store(to + 6, x1);
        wasm_v128_store64_lane(to + 10, low, 1);
        wasm_v128_store(to + 12, x2);
        wasm_v128_store64_lane(to + 16, high, 0);
        wasm_v128_store(to + 18, x3);
        wasm_v128_store64_lane(to + 22, high, 1);
      }
    } else if (left == MR && row == 1) {
      for (; k < depth; k++, to += MR) {
        const float *at = a + k * column;
        wasm_v128_store(to, wasm_v128_load(at));
        wasm_v128_store64_lane(to + 4, wasm_v128_load64_zero(at + 4), 0);
      }
    }
    for (; k < depth; k++, to += MR) {
      for (int r = 0; r < left; r++) to[r] = a[r * row + k * column];
      for (int r = left; r < MR; r++) to[r] = 0;
    }
  }
}

static void pack_b(const float *b, int row, int column, int depth, int columns, float *to) {
  for (int j = 0; j < columns; j += NR, b += NR * column) {
    int left = columns - j < NR ? columns - j : NR, k = 0;
    if (left == NR && column == 1) {
      for (; k < depth; k++, to += NR) {
        wasm_v128_store(to, wasm_v128_load(b + k * row));
        wasm_v128_store(to + 4, wasm_v128_load(b + k * row + 4));
      }
    } else if (left == NR && row == 1) {
      for (; k + 4 <= depth; k += 4, to += 4 * NR) {
        for (int half = 0; half < NR; half += 4) {
          const float *at = b + k + half * column;
          v128 x0 = wasm_v128_load(at), x1 = wasm_v128_load(at + column);
          v128 x2 = wasm_v128_load(at + 2 * column), x3 = wasm_v128_load(at + 3 * column);
          TRANSPOSE(x0, x1, x2, x3)
          wasm_v128_store(to + half, x0);
          wasm_v128_store(to + NR + half, x1);
          wasm_v128_store(to + 2 * NR + half, x2);
          wasm_v128_store(to + 3 * NR + half, x3);
        }
      }
    }
    for (; k < depth; k++, to += NR) {
      for (int c = 0; c < left; c++) to[c] = b[k * row + c * column];
      for (int c = left; c < NR; c++) to[c] = 0;
    }
  }
}

#define ROW(r) v128 c##r##0 = zero, c##r##1 = zero;
#define STEP(r) { v128 x = wasm_v128_load32_splat(a + r); c##r##0 = MADD(x, b0, c##r##0); c##r##1 = MADD(x, b1, c##r##1); }
#define OUT(r) put(c + r * row, c##r##0, c##r##1, scale, add);

static inline void put(float *c, v128 x, v128 y, v128 scale, int add) {
  x = wasm_f32x4_mul(x, scale);
  y = wasm_f32x4_mul(y, scale);
  if (add) {
    x = wasm_f32x4_add(x, wasm_v128_load(c));
    y = wasm_f32x4_add(y, wasm_v128_load(c + 4));
  }
  wasm_v128_store(c, x);
  wasm_v128_store(c + 4, y);
}

static void tile(const float *a, const float *b, int depth, float *c, int row, float alpha, int add) {
  v128 zero = wasm_f32x4_splat(0);
  ROW(0) ROW(1) ROW(2) ROW(3) ROW(4) ROW(5)
  for (int k = 0; k < depth; k++, a += MR, b += NR) {
    v128 b0 = wasm_v128_load(b), b1 = wasm_v128_load(b + 4);
    STEP(0) STEP(1) STEP(2) STEP(3) STEP(4) STEP(5)
  }
  v128 scale = wasm_f32x4_splat(alpha);
  OUT(0) OUT(1) OUT(2) OUT(3) OUT(4) OUT(5)
}

// C [m, n] (rows ldc apart) = alpha · A [m, k] · B [k, n]; `add` adds to what C holds. (row, column) are strides in floats.
void gemm(int m, int n, int k, const float *a, int a_row, int a_column, const float *b, int b_row, int b_column, float *c,
          int ldc, float alpha, int add, float *scratch) {
  float *packed_a = scratch, *packed_b = scratch + MC * KC, *spare = packed_b + NC * KC;
  for (int j = 0; j < n; j += NC) {
    int columns = n - j < NC ? n - j : NC;
    for (int p = 0; p < k; p += KC) {
      int depth = k - p < KC ? k - p : KC;
      int sum = add || p > 0;
      pack_b(b + p * b_row + j * b_column, b_row, b_column, depth, columns, packed_b);
      for (int i = 0; i < m; i += MC) {
        int rows = m - i < MC ? m - i : MC;
        pack_a(a + i * a_row + p * a_column, a_row, a_column, rows, depth, packed_a);
        for (int jj = 0; jj < columns; jj += NR) {
          for (int ii = 0; ii < rows; ii += MR) {
            float *at = c + (i + ii) * ldc + j + jj;
            const float *pa = packed_a + ii * depth, *pb = packed_b + jj * depth;
            int height = rows - ii < MR ? rows - ii : MR, width = columns - jj < NR ? columns - jj : NR;
            if (height == MR && width == NR) {
              tile(pa, pb, depth, at, ldc, alpha, sum);
            } else {
              tile(pa, pb, depth, spare, NR, alpha, 0);
              for (int r = 0; r < height; r++) {
                for (int s = 0; s < width; s++) at[r * ldc + s] = spare[r * NR + s] + (sum ? at[r * ldc + s] : 0);
              }
            }
          }
        }
      }
    }
  }
}

// One product for each of `count` matrices; `a_next`, `b_next` and `c_next` lead from one to the next.
void gemm_batch(int count, int m, int n, int k, const float *a, int a_next, int a_row, int a_column, const float *b,
                int b_next, int b_row, int b_column, float *c, int c_next, float alpha, int add, float *scratch) {
  for (int i = 0; i < count; i++) {
    gemm(m, n, k, a + i * a_next, a_row, a_column, b + i * b_next, b_row, b_column, c + i * c_next, n, alpha, add, scratch);
  }
}
