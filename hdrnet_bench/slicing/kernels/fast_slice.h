// Slice and apply where it must be fast: 3 x 4 matrices, depth at most eight, float.
//
// Between two neighbouring cell centres every pixel of a row reads the same two columns of the
// slab (the grid interpolated along y), so there a coefficient is
//     (P + z Q) + fx (P' + z Q')
// with P and Q tables over the lower depth cell i: for coefficients a of the left column,
//     Q[i] = a[i + 1] - a[i],  P[i] = a[i] - i Q[i],  so that P + z Q = a[i] + (z - i) Q[i],
// and P', Q' the same of the right column less the left one. A table of eight is one 256-bit
// register, and eight pixels look it up at once (vpermps), whatever their guides are.
#pragma once

#include "simd.h"
#include "slice.h"

namespace {

using hdrbench::depth_position;
using hdrbench::first_pixel;
using hdrbench::spatial_position;
using hdrbench::tap_at;

constexpr int kCoefficients = 12;

struct Shape {
  int batch, inputs, outputs, offset, depth, rows, columns, height, width;
  int row_length() const { return inputs + offset; }
  int channels() const { return outputs * row_length(); }
  int64_t grid_size() const { return int64_t(channels()) * depth * rows * columns; }
  int64_t pixels() const { return int64_t(height) * width; }
  bool fast() const {
    return inputs == 3 && outputs == 3 && offset == 1 && depth <= kLanes;
  }
};

// What eight pixels between two cell centres need to find a coefficient: 48 tables, 1.5 KiB in the
// L1 cache, made once for an interval of a row and read for every eight of its pixels.
struct Tables {
  v8 p[kCoefficients], q[kCoefficients], dp[kCoefficients], dq[kCoefficients];
};

// slab[x][coefficient][8]: cells beyond the depth repeat the last one, so that Q is 0 there and the
// last cell needs no case of its own. Depth stands innermost, for a table to be one load.
//
// The grid is read once for a row of pixels, not once a pixel. The slab of the paper's grid is
// 6 KiB, which the L1 cache holds.
INLINE void make_fast_slab(const float* grid, const Shape& s, int y, float* slab) {
  const auto tap = tap_at(spatial_position<float>(y, s.height, s.rows), s.rows);
  for (int c = 0; c < kCoefficients; ++c) {
    for (int z = 0; z < kLanes; ++z) {
      const int depth = std::min(z, s.depth - 1);
      const float* plane = grid + (int64_t(c) * s.depth + depth) * s.rows * s.columns;
      const float* low = plane + int64_t(tap.low) * s.columns;
      const float* high = plane + int64_t(tap.high) * s.columns;
      for (int x = 0; x < s.columns; ++x) {
        slab[(int64_t(x) * kCoefficients + c) * kLanes + z] =
            low[x] + tap.fraction * (high[x] - low[x]);
      }
    }
  }
}

// `low` and `high` are the same column beyond the last centre: P' and Q' are 0 then.
INLINE void make_tables(const float* slab, int low, int high, Tables& t) {
  // The last lane has no next cell and takes itself.
  const i8 next = {1, 2, 3, 4, 5, 6, 7, 7};
  const v8 iota = {0, 1, 2, 3, 4, 5, 6, 7};
  for (int c = 0; c < kCoefficients; ++c) {
    const v8 a = load(slab + (int64_t(low) * kCoefficients + c) * kLanes);
    const v8 b = load(slab + (int64_t(high) * kCoefficients + c) * kLanes) - a;
    t.q[c] = lookup(a, next) - a;
    t.p[c] = a - iota * t.q[c];
    t.dq[c] = lookup(b, next) - b;
    t.dp[c] = b - iota * t.dq[c];
  }
}

// depth_position, clamped; a NaN becomes 0, so that no lane looks up beyond its table.
INLINE v8 fast_depth(v8 guide, const Shape& s) {
  const v8 z = guide * float(s.depth) - 0.5f;
  return vmin(vmax(z, splat(0)), splat(float(s.depth - 1)));
}

INLINE void forward_8(const Tables& t, const Shape& s, v8 guide, v8 fx, const v8* in, v8* out) {
  const v8 z = fast_depth(guide, s);
  const i8 cell = __builtin_convertvector(z, i8);  // z >= 0: cutting off is rounding down
  for (int o = 0; o < 3; ++o) {
    v8 r[4];
    for (int i = 0; i < 4; ++i) {
      const int c = o * 4 + i;
      r[i] = (lookup(t.p[c], cell) + z * lookup(t.q[c], cell)) +
             fx * (lookup(t.dp[c], cell) + z * lookup(t.dq[c], cell));
    }
    out[o] = r[0] * in[0] + r[1] * in[1] + (r[2] * in[2] + r[3]);
  }
}

// One row of pixels: guide[width], in and out three planes of a row each.
INLINE void fast_forward_row(const Shape& s, const float* slab, const float* fractions,
                             const float* guide, const float* const* in, float* const* out) {
  Tables t;
  for (int cell = 0; cell < s.columns; ++cell) {
    const int begin = first_pixel(cell, s.width, s.columns);
    const int end = first_pixel(cell + 1, s.width, s.columns);
    if (begin >= end) continue;
    make_tables(slab, cell, std::min(cell + 1, s.columns - 1), t);
    // An interval's last eight are cut short: the pixels beyond it need other tables.
    for (int x = begin; x < end; x += kLanes) {
      const int count = end - x;
      v8 pixel[3], result[3];
      for (int i = 0; i < 3; ++i) pixel[i] = load_some(in[i] + x, count);
      forward_8(t, s, load_some(guide + x, count), load_some(fractions + x, count), pixel,
                result);
      for (int o = 0; o < 3; ++o) store_some(out[o] + x, result[o], count);
    }
  }
}

// Weight of the right column for each pixel of a row: the same in every row, so made once a call.
std::vector<float> column_fractions(const Shape& s) {
  std::vector<float> fractions(s.width);
  for (int x = 0; x < s.width; ++x) {
    fractions[x] = tap_at(spatial_position<float>(x, s.width, s.columns), s.columns).fraction;
  }
  return fractions;
}

Shape shape_of(const int32_t* v) {
  return {v[0], v[1], v[2], v[3], v[4], v[5], v[6], v[7], v[8]};
}

}  // namespace
