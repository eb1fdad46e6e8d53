// Slice and apply on the CPU: plain C interface, no torch headers (see ../cpu.py).
//
// The grid is interpolated along y once per row of pixels, into a slab (the structure of the Halide
// app of the same model); fast_slice.h has the case that must be fast, this file every other one,
// and the gradients.
//
// Rows are independent, so results do not depend on the number of threads. Gradients that sum over
// rows are summed over a fixed number of bands of rows, whose sums are added in their order.
#include "fast_slice.h"

namespace {

// ---- any shape, float or double -------------------------------------------------------------

// The grid of one picture interpolated along y: slab[x][z][channel]. A pixel reads all channels of
// a corner, so they lie side by side.
template <typename T>
void make_slab(const T* grid, const Shape& s, int y, T* slab) {
  const auto tap = tap_at(spatial_position<T>(y, s.height, s.rows), s.rows);
  const int channels = s.channels();
  for (int c = 0; c < channels; ++c) {
    for (int z = 0; z < s.depth; ++z) {
      const T* plane = grid + (int64_t(c) * s.depth + z) * s.rows * s.columns;
      const T* low = plane + int64_t(tap.low) * s.columns;
      const T* high = plane + int64_t(tap.high) * s.columns;
      for (int x = 0; x < s.columns; ++x) {
        slab[(int64_t(x) * s.depth + z) * channels + c] =
            low[x] + tap.fraction * (high[x] - low[x]);
      }
    }
  }
}

template <typename T>
void forward_row(const Shape& s, const T* slab, const T* guide, const T* image, T* out) {
  const int n = s.channels(), row = s.row_length();
  const int64_t plane = s.pixels();
  std::vector<T> coefficients(n);
  for (int x = 0; x < s.width; ++x) {
    const auto tx = tap_at(spatial_position<T>(x, s.width, s.columns), s.columns);
    const auto tz = tap_at(depth_position(guide[x], s.depth), s.depth);
    const T* corner[4] = {slab + (int64_t(tx.low) * s.depth + tz.low) * n,
                          slab + (int64_t(tx.low) * s.depth + tz.high) * n,
                          slab + (int64_t(tx.high) * s.depth + tz.low) * n,
                          slab + (int64_t(tx.high) * s.depth + tz.high) * n};
    // a + f (b - a), not (1 - f) a + f b: exact where the corners are equal.
    for (int c = 0; c < n; ++c) {
      const T a = corner[0][c] + tz.fraction * (corner[1][c] - corner[0][c]);
      const T b = corner[2][c] + tz.fraction * (corner[3][c] - corner[2][c]);
      coefficients[c] = a + tx.fraction * (b - a);
    }
    for (int o = 0; o < s.outputs; ++o) {
      const T* r = coefficients.data() + o * row;
      T sum = s.offset ? r[s.inputs] : T(0);
      for (int i = 0; i < s.inputs; ++i) sum += r[i] * image[i * plane + x];
      out[o * plane + x] = sum;
    }
  }
}

// Gradients of one row: `slab_grad`, laid out as the slab, is added to; the others are written. A
// coefficient is linear in the four corners, with the products of the two fractions as weights, and
// its slope along the depth is the upper corners less the lower ones.
template <typename T>
void backward_row(const Shape& s, const T* slab, const T* guide, const T* image, const T* grad,
                  T* slab_grad, T* grad_guide, T* grad_image) {
  const int n = s.channels(), row = s.row_length();
  const int64_t plane = s.pixels();
  for (int x = 0; x < s.width; ++x) {
    const auto tx = tap_at(spatial_position<T>(x, s.width, s.columns), s.columns);
    const T z = depth_position(guide[x], s.depth);
    const auto tz = tap_at(z, s.depth);
    const int64_t corner[4] = {(int64_t(tx.low) * s.depth + tz.low) * n,
                               (int64_t(tx.low) * s.depth + tz.high) * n,
                               (int64_t(tx.high) * s.depth + tz.low) * n,
                               (int64_t(tx.high) * s.depth + tz.high) * n};
    const T weight[4] = {(1 - tx.fraction) * (1 - tz.fraction), (1 - tx.fraction) * tz.fraction,
                         tx.fraction * (1 - tz.fraction), tx.fraction * tz.fraction};
    T along_depth = 0;
    for (int i = 0; i < row; ++i) {
      T along_input = 0;
      for (int o = 0; o < s.outputs; ++o) {
        const int c = o * row + i;
        const T g = grad[o * plane + x];
        const T d = i < s.inputs ? g * image[i * plane + x] : g;  // of the coefficient
        T value = 0;
        for (int k = 0; k < 4; ++k) {
          value += weight[k] * slab[corner[k] + c];
          slab_grad[corner[k] + c] += weight[k] * d;
        }
        along_input += g * value;
        along_depth += d * ((1 - tx.fraction) * (slab[corner[1] + c] - slab[corner[0] + c]) +
                            tx.fraction * (slab[corner[3] + c] - slab[corner[2] + c]));
      }
      if (grad_image && i < s.inputs) grad_image[i * plane + x] = along_input;
    }
    // From the outermost centres outwards the position is clamped: nothing changes with the guide.
    // A position on such a centre counts as clamped, as in torch's grid_sample.
    const bool inside = z > 0 && z < T(s.depth - 1);
    if (grad_guide) grad_guide[x] = inside ? along_depth * T(s.depth) : T(0);
  }
}

// ---- 3 x 4 matrices, depth at most 8, float ---------------------------------------------------

DISPATCH void fast_forward_band(const Shape& s, int b, int y_begin, int y_end,
                                const float* fractions, float* slab, const float* grid,
                                const float* guide, const float* image, float* out) {
  const int64_t plane = s.pixels();
  for (int y = y_begin; y < y_end; ++y) {
    make_fast_slab(grid + b * s.grid_size(), s, y, slab);
    const int64_t at = b * 3 * plane + int64_t(y) * s.width;
    const float* in[3] = {image + at, image + at + plane, image + at + 2 * plane};
    float* to[3] = {out + at, out + at + plane, out + at + 2 * plane};
    fast_forward_row(s, slab, fractions, guide + b * plane + int64_t(y) * s.width, in, to);
  }
}

// Gradients of one row. slab_grad[x][coefficient][8] is added to.
//
// The pixel's own gradients are taken for eight pixels at once, by the tables of the forward pass.
// The grid's would be a scatter, each pixel into the two depth cells it reads; instead all eight
// cells are one register, which takes a multiply-add with the weights max(1 - |z - i|, 0) of every
// cell i, pixel after pixel. What is 0 is added as well, so an infinite gradient makes NaN of the
// other cells.
INLINE void fast_backward_row(const Shape& s, const float* slab, const float* fractions,
                              const float* guide, const float* const* in,
                              const float* const* grad, float* slab_grad, float* grad_guide,
                              float* const* grad_image) {
  const v8 iota = {0, 1, 2, 3, 4, 5, 6, 7};
  const v8 zero = {}, one = splat(1), last = splat(float(s.depth - 1));
  Tables t;
  for (int cell = 0; cell < s.columns; ++cell) {
    const int begin = first_pixel(cell, s.width, s.columns);
    const int end = first_pixel(cell + 1, s.width, s.columns);
    if (begin >= end) continue;
    const int high = std::min(cell + 1, s.columns - 1);
    make_tables(slab, cell, high, t);
    // Sums over this cell's pixels, a register over the depth for each coefficient: without the
    // column's fraction, and with it. The right column has the second, the left one their
    // difference.
    v8 whole[kCoefficients] = {}, part[kCoefficients] = {};
    for (int x = begin; x < end; x += kLanes) {
      const int count = std::min(end - x, kLanes);
      const v8 fx = load_some(fractions + x, count);
      const v8 position = load_some(guide + x, count) * float(s.depth) - 0.5f;
      const v8 z = vmin(vmax(position, zero), last);
      const i8 index = __builtin_convertvector(z, i8);
      v8 pixel[4], g[3], to_pixel[3] = {}, to_guide = {};
      for (int i = 0; i < 3; ++i) {
        pixel[i] = load_some(in[i] + x, count);
        g[i] = load_some(grad[i] + x, count);
      }
      pixel[3] = one;
      for (int o = 0; o < 3; ++o) {
        for (int i = 0; i < 4; ++i) {
          const int c = o * 4 + i;
          const v8 q = lookup(t.q[c], index), dq = lookup(t.dq[c], index);
          to_guide += g[o] * pixel[i] * (q + fx * dq);
          if (i < 3) {
            const v8 value = (lookup(t.p[c], index) + z * q) +
                             fx * (lookup(t.dp[c], index) + z * dq);
            to_pixel[i] += g[o] * value;
          }
        }
      }
      const v8 moved = to_guide * float(s.depth);
      store_some(grad_guide + x, ((position > zero) & (position < last)) ? moved : zero, count);
      for (int i = 0; i < 3; ++i) store_some(grad_image[i] + x, to_pixel[i], count);
      // Lanes of `weight` beyond the depth are 0, because z is at most depth - 1.
      for (int lane = 0; lane < count; ++lane) {
        const v8 distance = iota - z[lane];
        const v8 weight = vmax(one - vmax(distance, -distance), zero);
        const v8 weight_part = weight * fx[lane];
        for (int o = 0; o < 3; ++o) {
          const v8 w = weight * g[o][lane], wp = weight_part * g[o][lane];
          for (int i = 0; i < 4; ++i) {
            whole[o * 4 + i] += w * pixel[i][lane];
            part[o * 4 + i] += wp * pixel[i][lane];
          }
        }
      }
    }
    for (int c = 0; c < kCoefficients; ++c) {
      float* low = slab_grad + (int64_t(cell) * kCoefficients + c) * kLanes;
      store(low, load(low) + (whole[c] - part[c]));
      float* up = slab_grad + (int64_t(high) * kCoefficients + c) * kLanes;
      store(up, load(up) + part[c]);
    }
  }
}

// Rows [y_begin, y_end); grad_grid is this band's own sum. A row's gradient is collected in the
// slab's shape, which a cache holds, and only then shared between the two rows of cells it reads.
DISPATCH void fast_backward_band(const Shape& s, int b, int y_begin, int y_end,
                                 const float* fractions, float* slab, float* slab_grad,
                                 const float* grid, const float* guide, const float* image,
                                 const float* grad_out, float* grad_grid, float* grad_guide,
                                 float* grad_image) {
  const int64_t plane = s.pixels();
  for (int y = y_begin; y < y_end; ++y) {
    make_fast_slab(grid + b * s.grid_size(), s, y, slab);
    std::fill(slab_grad, slab_grad + int64_t(s.columns) * kCoefficients * kLanes, 0.0f);
    const int64_t at = b * 3 * plane + int64_t(y) * s.width;
    const int64_t guide_at = b * plane + int64_t(y) * s.width;
    const float* in[3] = {image + at, image + at + plane, image + at + 2 * plane};
    const float* g[3] = {grad_out + at, grad_out + at + plane, grad_out + at + 2 * plane};
    float* to[3] = {grad_image + at, grad_image + at + plane, grad_image + at + 2 * plane};
    fast_backward_row(s, slab, fractions, guide + guide_at, in, g, slab_grad,
                      grad_guide + guide_at, to);
    const auto tap = tap_at(spatial_position<float>(y, s.height, s.rows), s.rows);
    for (int c = 0; c < kCoefficients; ++c) {
      for (int z = 0; z < s.depth; ++z) {
        float* cells = grad_grid + (int64_t(c) * s.depth + z) * s.rows * s.columns;
        for (int x = 0; x < s.columns; ++x) {
          const float sum = slab_grad[(int64_t(x) * kCoefficients + c) * kLanes + z];
          cells[int64_t(tap.low) * s.columns + x] += (1 - tap.fraction) * sum;
          cells[int64_t(tap.high) * s.columns + x] += tap.fraction * sum;
        }
      }
    }
  }
}

// One job for each band of each picture; none shares memory that is written.
template <typename T>
void forward(const Shape& s, const T* grid, const T* guide, const T* image, T* out, int threads) {
  const int64_t plane = s.pixels();
  if constexpr (std::is_same<T, float>::value) {
    if (s.fast()) {
      const auto fractions = column_fractions(s);
      parallel(s.batch * kBands, threads, [&](int job) {
        std::vector<float> slab(int64_t(s.columns) * kCoefficients * kLanes);
        const int b = job / kBands, band = job % kBands;
        fast_forward_band(s, b, band_begin(s.height, band), band_begin(s.height, band + 1), fractions.data(),
                          slab.data(), grid, guide, image, out);
      });
      return;
    }
  }
  parallel(s.batch * kBands, threads, [&](int job) {
    const int b = job / kBands, band = job % kBands;
    std::vector<T> slab(int64_t(s.columns) * s.depth * s.channels());
    for (int y = band_begin(s.height, band); y < band_begin(s.height, band + 1); ++y) {
      make_slab(grid + b * s.grid_size(), s, y, slab.data());
      const int64_t row = int64_t(y) * s.width;
      forward_row(s, slab.data(), guide + b * plane + row, image + b * s.inputs * plane + row,
                  out + b * s.outputs * plane + row);
    }
  });
}

// One picture after another, so that only one has its kBands sums of a grid's size in memory: 3 MiB
// for the paper's grid in float.
template <typename T>
void backward(const Shape& s, const T* grid, const T* guide, const T* image, const T* grad_out,
              T* grad_grid, T* grad_guide, T* grad_image, int threads) {
  const int64_t plane = s.pixels(), size = s.grid_size();
  for (int b = 0; b < s.batch; ++b) {
    std::vector<T> sums(size * kBands, T(0));
    const bool fast = std::is_same<T, float>::value && s.fast();
    const auto fractions = fast ? column_fractions(s) : std::vector<float>();
    parallel(kBands, threads, [&](int band) {
      T* own = sums.data() + size * band;
      const int y_begin = band_begin(s.height, band), y_end = band_begin(s.height, band + 1);
      if constexpr (std::is_same<T, float>::value) {
        if (fast) {
          std::vector<float> slab(int64_t(s.columns) * kCoefficients * kLanes);
          std::vector<float> slab_grad(slab.size());
          fast_backward_band(s, b, y_begin, y_end, fractions.data(), slab.data(),
                             slab_grad.data(), grid, guide, image, grad_out, own, grad_guide,
                             grad_image);
          return;
        }
      }
      const int channels = s.channels();
      std::vector<T> slab(int64_t(s.columns) * s.depth * channels), slab_grad(slab.size());
      for (int y = y_begin; y < y_end; ++y) {
        make_slab(grid + b * size, s, y, slab.data());
        std::fill(slab_grad.begin(), slab_grad.end(), T(0));
        const int64_t row = int64_t(y) * s.width;
        backward_row(s, slab.data(), guide + b * plane + row, image + b * s.inputs * plane + row,
                     grad_out + b * s.outputs * plane + row, slab_grad.data(),
                     grad_guide + b * plane + row, grad_image + b * s.inputs * plane + row);
        const auto tap = tap_at(spatial_position<T>(y, s.height, s.rows), s.rows);
        for (int c = 0; c < channels; ++c) {
          for (int z = 0; z < s.depth; ++z) {
            T* cells = own + (int64_t(c) * s.depth + z) * s.rows * s.columns;
            for (int x = 0; x < s.columns; ++x) {
              const T sum = slab_grad[(int64_t(x) * s.depth + z) * channels + c];
              cells[int64_t(tap.low) * s.columns + x] += (1 - tap.fraction) * sum;
              cells[int64_t(tap.high) * s.columns + x] += tap.fraction * sum;
            }
          }
        }
      }
    });
    // In the order of bands, whichever thread finished first: the bits do not depend on it.
    for (int64_t i = 0; i < size; ++i) {
      T total = 0;
      for (int band = 0; band < kBands; ++band) total += sums[size * band + i];
      grad_grid[b * size + i] = total;
    }
  }
}

}  // namespace

// shape: batch, inputs, outputs, offset, depth, grid rows, grid columns, height, width.
// All arrays contiguous: grid (B, C, D, GH, GW), guide (B, H, W), pictures (B, channels, H, W).
API void hdrbench_forward_f32(const int32_t* shape, const float* grid, const float* guide,
                              const float* image, float* out, int32_t threads) {
  forward(shape_of(shape), grid, guide, image, out, threads);
}

API void hdrbench_forward_f64(const int32_t* shape, const double* grid, const double* guide,
                              const double* image, double* out, int32_t threads) {
  forward(shape_of(shape), grid, guide, image, out, threads);
}

API void hdrbench_backward_f32(const int32_t* shape, const float* grid, const float* guide,
                               const float* image, const float* grad_out, float* grad_grid,
                               float* grad_guide, float* grad_image, int32_t threads) {
  backward(shape_of(shape), grid, guide, image, grad_out, grad_grid, grad_guide, grad_image,
           threads);
}

API void hdrbench_backward_f64(const int32_t* shape, const double* grid, const double* guide,
                               const double* image, const double* grad_out, double* grad_grid,
                               double* grad_guide, double* grad_image, int32_t threads) {
  backward(shape_of(shape), grid, guide, image, grad_out, grad_grid, grad_guide, grad_image,
           threads);
}
