// Convolution of images [batch, height, width, channels] as products of patches, some lines of output at a time.
#include "kernels.h"

// Everything that describes a convolution; filled by the caller as 32-bit integers in this order.
typedef struct {
  int batch, height, width, channels, out_height, out_width, out_channels, kernel_height, kernel_width, stride, top, left;
} conv;

enum { PATCHES = 384 };

static int lines_at_once(const conv *s) { return s->out_width >= PATCHES ? 1 : PATCHES / s->out_width; }

static int depth_of(const conv *s) { return s->kernel_height * s->kernel_width * s->channels; }

static int room_of(const conv *s) {
  return depth_of(s) * (lines_at_once(s) * s->out_width + s->out_channels) + gemm_scratch();
}

// The convolution that takes a gradient of the output to one of the input, when a step of 1 makes it one.
static int turned(const conv *s, conv *t) {
  t->batch = s->batch, t->height = s->out_height, t->width = s->out_width, t->channels = s->out_channels;
  t->out_height = s->height, t->out_width = s->width, t->out_channels = s->channels;
  t->kernel_height = s->kernel_height, t->kernel_width = s->kernel_width, t->stride = 1;
  t->top = s->kernel_height - 1 - s->top, t->left = s->kernel_width - 1 - s->left;
  return s->stride == 1 && t->top >= 0 && t->left >= 0;
}

// Floats of scratch: patches of some lines, the kernel in another order, and what gemm needs.
int conv_scratch(const conv *s) {
  conv t;
  int forward = room_of(s), back = turned(s, &t) ? room_of(&t) : 0;
  return forward > back ? forward : back;
}

static void copy(float *to, const float *from, int n) {
  int i = 0;
  for (; i + 4 <= n; i += 4) wasm_v128_store(to + i, wasm_v128_load(from + i));
  for (; i < n; i++) to[i] = from[i];
}

static void clear(float *to, int n) {
  int i = 0;
  for (; i + 4 <= n; i += 4) wasm_v128_store(to + i, V(0));
  for (; i < n; i++) to[i] = 0;
}

static void accumulate(float *to, const float *from, int n) {
  int i = 0;
  for (; i + 4 <= n; i += 4) wasm_v128_store(to + i, wasm_f32x4_add(wasm_v128_load(to + i), wasm_v128_load(from + i)));
  for (; i < n; i++) to[i] += from[i];
}

// Walks the patches of `lines` lines of output from `line` (counted over the batch): copies pixels into them, or adds them back.
static void walk(const conv *s, float *x, int line, int lines, float *patches, int back) {
  int channels = s->channels;
  for (int l = line; l < line + lines; l++) {
    int b = l / s->out_height, y = l % s->out_height;
    for (int ox = 0; ox < s->out_width; ox++) {
      int first = ox * s->stride - s->left;
      // Columns of the kernel that lie inside the image.
      int from = first < 0 ? -first : 0, to = s->width - first < s->kernel_width ? s->width - first : s->kernel_width;
      if (from > s->kernel_width) from = s->kernel_width;
      if (to < from) to = from;
      for (int i = 0; i < s->kernel_height; i++, patches += s->kernel_width * channels) {
        int row = y * s->stride - s->top + i;
        if (row < 0 || row >= s->height) {
          if (!back) clear(patches, s->kernel_width * channels);
          continue;
        }
        float *pixels = x + ((b * s->height + row) * s->width + first + from) * channels;
        if (back) {
          accumulate(pixels, patches + from * channels, (to - from) * channels);
        } else {
          clear(patches, from * channels);
          copy(patches + from * channels, pixels, (to - from) * channels);
          clear(patches + to * channels, (s->kernel_width - to) * channels);
        }
      }
    }
  }
}

// PyTorch's weight [O, C, kH, kW] → [kH · kW · C, O], or back.
static void reorder(const conv *s, float *weight, float *kernel, int back) {
  int area = s->kernel_height * s->kernel_width;
  for (int o = 0; o < s->out_channels; o++) {
    for (int c = 0; c < s->channels; c++) {
      for (int t = 0; t < area; t++) {
        float *w = weight + (o * s->channels + c) * area + t, *k = kernel + (t * s->channels + c) * s->out_channels + o;
        if (back) *w = *k;
        else *k = *w;
      }
    }
  }
}

// out = patches of x · kernel (+ bias); the kernel lies at the start of the scratch.
static void multiply(const conv *s, const float *x, const float *bias, float *out, float *scratch) {
  int depth = depth_of(s), n = s->out_channels, step = lines_at_once(s), total = s->batch * s->out_height;
  float *kernel = scratch, *patches = kernel + depth * n, *room = patches + step * s->out_width * depth;
  for (int line = 0; line < total; line += step) {
    int lines = total - line < step ? total - line : step, rows = lines * s->out_width;
    float *to = out + line * s->out_width * n;
    walk(s, (float *)x, line, lines, patches, 0);
    if (bias) {
      for (int r = 0; r < rows; r++) copy(to + r * n, bias, n);
    }
    gemm(rows, n, depth, patches, depth, 1, kernel, n, 1, to, n, 1, bias != 0, room);
  }
}

void conv2d(const conv *s, const float *x, float *weight, const float *bias, float *out, float *scratch) {
  reorder(s, weight, scratch, 0);
  multiply(s, x, bias, out, scratch);
}

// The gradient of the input; dx must hold zeros.
void conv2d_input_gradient(const conv *s, float *weight, const float *dy, float *dx, float *scratch) {
  conv t;
  if (turned(s, &t)) {
    int area = s->kernel_height * s->kernel_width;
    for (int o = 0; o < s->out_channels; o++) {
      for (int c = 0; c < s->channels; c++) {
        const float *w = weight + (o * s->channels + c) * area;
        for (int i = 0; i < area; i++) scratch[((area - 1 - i) * s->out_channels + o) * s->channels + c] = w[i];
      }
    }
    multiply(&t, dy, 0, dx, scratch);
    return;
  }
  int depth = depth_of(s), n = s->out_channels, step = lines_at_once(s), total = s->batch * s->out_height;
  float *kernel = scratch, *patches = kernel + depth * n, *room = patches + step * s->out_width * depth;
  reorder(s, weight, kernel, 0);
  for (int line = 0; line < total; line += step) {
    int lines = total - line < step ? total - line : step, rows = lines * s->out_width;
    gemm(rows, depth, n, dy + line * s->out_width * n, n, 1, kernel, 1, n, patches, depth, 1, 0, room);
    walk(s, dx, line, lines, patches, 1);
  }
}

// The gradient of the weight.
void conv2d_weight_gradient(const conv *s, const float *x, const float *dy, float *dw, float *scratch) {
  int depth = depth_of(s), n = s->out_channels, step = lines_at_once(s), total = s->batch * s->out_height;
  float *kernel = scratch, *patches = kernel + depth * n, *room = patches + step * s->out_width * depth;
  for (int line = 0; line < total; line += step) {
    int lines = total - line < step ? total - line : step, rows = lines * s->out_width;
    walk(s, (float *)x, line, lines, patches, 0);
    gemm(depth, n, rows, patches, 1, depth, dy + line * s->out_width * n, n, 1, kernel, n, 1, line > 0, room);
  }
  reorder(s, dw, kernel, 1);
}
