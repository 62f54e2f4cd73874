// Normalizations with their gradients. Layer normalization is group normalization of one position and one group.
#include "kernels.h"

// out = x · rsqrt(mean(x²) + ε) · w over rows; `inverse` [rows] keeps the root for the gradient.
void rms_norm(int rows, int n, const float *x, const float *w, float epsilon, float *out, float *inverse) {
  for (int r = 0; r < rows; r++, x += n, out += n) {
    v128 sums = V(0);
    int i = 0;
    for (; i + 4 <= n; i += 4) {
      v128 a = wasm_v128_load(x + i);
      sums = MADD(a, a, sums);
    }
    float sum = hsum(sums);
    for (; i < n; i++) sum += x[i] * x[i];
    float by = 1 / root(sum / n + epsilon);
    inverse[r] = by;
    for (i = 0; i + 4 <= n; i += 4) {
      wasm_v128_store(out + i, wasm_f32x4_mul(wasm_f32x4_mul(wasm_v128_load(x + i), V(by)), wasm_v128_load(w + i)));
    }
    for (; i < n; i++) out[i] = x[i] * by * w[i];
  }
}

// dw [n] must hold zeros.
void rms_norm_gradient(int rows, int n, const float *x, const float *w, const float *inverse, const float *dy, float *dx, float *dw) {
  for (int r = 0; r < rows; r++, x += n, dy += n, dx += n) {
    float by = inverse[r];
    v128 sums = V(0);
    int i = 0;
    for (; i + 4 <= n; i += 4) {
      v128 product = wasm_f32x4_mul(wasm_v128_load(x + i), wasm_v128_load(dy + i));
      sums = MADD(product, wasm_v128_load(w + i), sums);
      wasm_v128_store(dw + i, MADD(product, V(by), wasm_v128_load(dw + i)));
    }
    float sum = hsum(sums);
    for (; i < n; i++) {
      sum += x[i] * dy[i] * w[i];
      dw[i] += x[i] * dy[i] * by;
    }
    float back = sum * by * by * by / n;
    for (i = 0; i + 4 <= n; i += 4) {
      v128 direct = wasm_f32x4_mul(wasm_f32x4_mul(wasm_v128_load(dy + i), wasm_v128_load(w + i)), V(by));
      wasm_v128_store(dx + i, wasm_f32x4_sub(direct, wasm_f32x4_mul(wasm_v128_load(x + i), V(back))));
    }
    for (; i < n; i++) dx[i] = dy[i] * w[i] * by - x[i] * back;
  }
}

// x [batch, positions, channels]; `mean` and `inverse` [batch, groups] are kept for the gradient; room: 5 · channels.
void group_norm(int batch, int positions, int channels, int groups, const float *x, const float *w, const float *bias,
                float epsilon, float *out, float *mean, float *inverse, float *room) {
  int width = channels / groups, size = positions * channels;
  float count = (float)positions * width;
  float *first = room, *second = room + channels;
  for (int b = 0; b < batch; b++, x += size, out += size, mean += groups, inverse += groups) {
    for (int c = 0; c < channels; c++) second[c] = 0;
    column_sums(positions, channels, x, first, room + 2 * channels);
    for (int g = 0; g < groups; g++) {
      float sum = 0;
      for (int c = 0; c < width; c++) sum += first[g * width + c];
      mean[g] = sum / count;
      for (int c = 0; c < width; c++) first[g * width + c] = mean[g];
    }
    const float *at = x;
    for (int p = 0; p < positions; p++, at += channels) {
      int c = 0;
      for (; c + 4 <= channels; c += 4) {
        v128 away = wasm_f32x4_sub(wasm_v128_load(at + c), wasm_v128_load(first + c));
        wasm_v128_store(second + c, MADD(away, away, wasm_v128_load(second + c)));
      }
      for (; c < channels; c++) second[c] += (at[c] - first[c]) * (at[c] - first[c]);
    }
    for (int g = 0; g < groups; g++) {
      float sum = 0;
      for (int c = 0; c < width; c++) sum += second[g * width + c];
      inverse[g] = 1 / root(sum / count + epsilon);
      for (int c = g * width; c < (g + 1) * width; c++) second[c] = inverse[g] * w[c];
    }
    at = x;
    float *to = out;
    for (int p = 0; p < positions; p++, at += channels, to += channels) {
      int c = 0;
      for (; c + 4 <= channels; c += 4) {
        v128 away = wasm_f32x4_sub(wasm_v128_load(at + c), wasm_v128_load(first + c));
        wasm_v128_store(to + c, MADD(away, wasm_v128_load(second + c), wasm_v128_load(bias + c)));
      }
      for (; c < channels; c++) to[c] = (at[c] - first[c]) * second[c] + bias[c];
    }
  }
}

// dw and db [channels] must hold zeros; room: 4 · channels.
void group_norm_gradient(int batch, int positions, int channels, int groups, const float *x, const float *w, const float *mean,
                         const float *inverse, const float *dy, float *dx, float *dw, float *db, float *room) {
  int width = channels / groups, size = positions * channels;
  float count = (float)positions * width;
  float *centre = room, *scale = centre + channels, *plain = scale + channels, *crossed = plain + channels;
  for (int b = 0; b < batch; b++, x += size, dy += size, dx += size, mean += groups, inverse += groups) {
    for (int c = 0; c < channels; c++) {
      centre[c] = mean[c / width];
      scale[c] = inverse[c / width];
      plain[c] = crossed[c] = 0;
    }
    for (int p = 0, at = 0; p < positions; p++, at += channels) {
      int c = 0;
      for (; c + 4 <= channels; c += 4) {
        v128 d = wasm_v128_load(dy + at + c);
        v128 away = wasm_f32x4_sub(wasm_v128_load(x + at + c), wasm_v128_load(centre + c));
        wasm_v128_store(plain + c, wasm_f32x4_add(wasm_v128_load(plain + c), d));
        wasm_v128_store(crossed + c, MADD(d, away, wasm_v128_load(crossed + c)));
      }
      for (; c < channels; c++) {
        plain[c] += dy[at + c];
        crossed[c] += dy[at + c] * (x[at + c] - centre[c]);
      }
    }
    for (int g = 0; g < groups; g++) {
      float sum = 0, product = 0;
      for (int c = g * width; c < (g + 1) * width; c++) {
        db[c] += plain[c];
        dw[c] += crossed[c] * scale[c];
        sum += plain[c] * w[c];
        product += crossed[c] * w[c];
      }
      float by = inverse[g];
      // dx = by · w · dy − by · sum / count − (x − mean) · by³ · product / count
      for (int c = g * width; c < (g + 1) * width; c++) {
        plain[c] = by * sum / count;
        crossed[c] = by * by * by * product / count;
        scale[c] = by * w[c];
      }
    }
    for (int p = 0, at = 0; p < positions; p++, at += channels) {
      int c = 0;
      for (; c + 4 <= channels; c += 4) {
        v128 away = wasm_f32x4_sub(wasm_v128_load(x + at + c), wasm_v128_load(centre + c));
        v128 direct = wasm_f32x4_sub(wasm_f32x4_mul(wasm_v128_load(dy + at + c), wasm_v128_load(scale + c)), wasm_v128_load(plain + c));
        wasm_v128_store(dx + at + c, wasm_f32x4_sub(direct, wasm_f32x4_mul(away, wasm_v128_load(crossed + c))));
      }
      for (; c < channels; c++) dx[at + c] = dy[at + c] * scale[c] - plain[c] - (x[at + c] - centre[c]) * crossed[c];
    }
  }
}
