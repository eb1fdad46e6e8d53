// Inference in one pass over the picture: guide, slice, apply, and the conversion from and to the
// picture's own type, a row at a time. What it needs beside input and output is a few rows, which
// stay in a core's caches: main memory has the picture read once and the result written once.
#ifdef __linux__
#include <sys/mman.h>
#include <unistd.h>
#endif

#include "curves.h"
#include "fast_slice.h"
#include "picture.h"

namespace {

// A pointwise guide with its batch norm folded in: sigmoid(w2 . relu(w1 x + b1) + b2).
struct Pointwise {
  int width;
  const float *w1, *b1, *w2;  // (width, 3), (width), (width)
  float b2;
};

// exp(x), within 2e-7 of itself for |x| <= 87, where it is clamped: as 2^n exp(r) with an integer n
// and |r| at most log(2) / 2. Up to 87, 2^n is a normal float, whose exponent can be written as
// bits.
INLINE v8 vexp(v8 x) {
  x = vmin(vmax(x, splat(-87.0f)), splat(87.0f));
  const v8 scaled = x * 1.44269504f;
  const v8 whole = (scaled + 12582912.0f) - 12582912.0f;  // 1.5 * 2^23: rounds to an integer
  // x - whole * log(2), in two parts so that nothing is lost: the first has 9 bits, and its product
  // with so small an integer is exact.
  const v8 r = (x - whole * 0.693359375f) + whole * 2.12194440e-4f;
  // Taylor's series up to r^7 / 7!: the rest is under 1e-8 of the result.
  v8 p = splat(1.9841270e-4f);
  p = p * r + 1.3888889e-3f;
  p = p * r + 8.3333333e-3f;
  p = p * r + 4.1666667e-2f;
  p = p * r + 1.6666667e-1f;
  p = p * r + 0.5f;
  p = p * r + 1.0f;
  p = p * r + 1.0f;
  const i8 exponent = (__builtin_convertvector(whole, i8) + 127) << 23;
  v8 power;
  std::memcpy(&power, &exponent, sizeof power);
  return p * power;
}

// The same weights for all eight pixels: each is read once and spread over a register.
INLINE v8 pointwise_guide(const Pointwise& g, const v8* pixel) {
  v8 sum = splat(g.b2);
  for (int k = 0; k < g.width; ++k) {
    const v8 hidden = pixel[0] * g.w1[3 * k] + pixel[1] * g.w1[3 * k + 1] +
                      (pixel[2] * g.w1[3 * k + 2] + g.b1[k]);
    sum += vmax(hidden, v8{}) * g.w2[k];
  }
  return 1.0f / (1.0f + vexp(-sum));
}

// The pictures begin at row `first` of a picture of s.height rows; y counts from there. A row is
// read whole before it is written, so that `out` may be `image`.
DISPATCH void enhance_rows(const Shape& s, int first, int b, int y_begin, int y_end,
                           const float* fractions, const float* grid, const Curves* curves,
                           const Pointwise* pointwise, const Picture& image, const Picture& out,
                           const ToModel* to_model, const FromModel* from_model) {
  const int64_t slab_size = int64_t(s.columns) * kCoefficients * kLanes;
  // The slab, and seven rows of floats: guide, three channels in, three out. `scratch` has the
  // integers of an interleaved row, channel by channel, bytes as well as words.
  std::vector<float> memory(slab_size + 7 * int64_t(s.width));
  std::vector<uint16_t> scratch(3 * size_t(s.width));
  float* slab = memory.data();
  float* guide = slab + slab_size;
  float* in[3] = {guide + s.width, guide + 2 * s.width, guide + 3 * s.width};
  float* to[3] = {guide + 4 * s.width, guide + 5 * s.width, guide + 6 * s.width};
  const float constant = curves ? curve_constant(*curves) : 0.0f;
  for (int y = y_begin; y < y_end; ++y) {
    read_row(image, b, y, s.width, to_model, scratch.data(), in);
    // The guide of the whole row before slicing: it has full registers from the first pixel on,
    // where slicing begins anew at each cell's centre.
    for (int x = 0; x < s.width; x += kLanes) {
      const int count = s.width - x;
      v8 pixel[3];
      for (int i = 0; i < 3; ++i) pixel[i] = load_some(in[i] + x, count);
      store_some(guide + x,
                 curves ? curves_guide(*curves, constant, pixel)
                        : pointwise_guide(*pointwise, pixel),
                 count);
    }
    make_fast_slab(grid + b * s.grid_size(), s, first + y, slab);
    fast_forward_row(s, slab, fractions, guide, in, to);
    write_row(out, b, y, s.width, from_model, scratch.data(), to);
  }
}

// __restrict: the compiler need not expect that a sum changes the row, and vectorises.
template <typename T, typename Sum>
INLINE void add_row(const T* __restrict from, int64_t stride, int count, Sum* __restrict sum) {
  if (stride == 1) {
    for (int k = 0; k < count; ++k) sum[k] += from[k];
  } else {
    for (int k = 0; k < count; ++k) sum[k] += from[k * stride];
  }
}

// The means of a row of windows from the sums of their columns, which have `whole` for 1.0.
template <typename Sum, typename Total>
INLINE void means_across(const Sum* sums, int64_t step, int64_t plane, double whole, int width,
                         int size, float* const* to) {
  for (int j = 0; j < size; ++j) {
    const int left = int(int64_t(j) * width / size);
    const int right = int((int64_t(j + 1) * width + size - 1) / size);
    const double pixels = whole * (right - left);  // one division a mean
    Total totals[3] = {};  // at once: a sum waits for itself at every step
    for (int x = left; x < right; ++x) {
      for (int c = 0; c < 3; ++c) totals[c] += sums[c * plane + x * step];
    }
    for (int c = 0; c < 3; ++c) to[c][j] = float(double(totals[c]) / pixels);
  }
}

// Rows are added as they lie in memory; the windows are then cut from the one row of sums. Integers
// are summed exactly (65,537 rows of the largest fit in 32 bits), so that neither order nor vectors
// show in the result. Neighbouring windows share a row or column of pixels where `size` does not
// divide the picture's side.
template <typename T, typename Sum, typename Total>
INLINE void window_means(const Picture& p, int b, int top, int bottom, int width, int size,
                         double white, float* const* to) {
  const bool together = is_interleaved(p);
  const int step = together ? 3 : 1;
  std::vector<Sum> sums(3 * size_t(width));
  for (int y = top; y < bottom; ++y) {
    const T* row = static_cast<const T*>(p.data) + b * p.stride_b + y * p.stride_y;
    if (together) {
      add_row(row, 1, 3 * width, sums.data());
    } else {
      for (int c = 0; c < 3; ++c) {
        add_row(row + c * p.stride_c, p.stride_x, width, sums.data() + c * int64_t(width));
      }
    }
  }
  means_across<Sum, Total>(sums.data(), step, together ? 1 : width, white * (bottom - top), width,
                           size, to);
}

// One row of the low-res picture: the mean over windows from floor(i H / size) to
// ceil((i + 1) H / size), as torch's adaptive average pooling has them.
DISPATCH void lowres_row(const Picture& p, int b, int height, int width, int size, int i,
                         float* const* to) {
  const int top = int(int64_t(i) * height / size);
  const int bottom = int((int64_t(i + 1) * height + size - 1) / size);
  if (p.kind == kUint8) {
    window_means<uint8_t, uint32_t, uint64_t>(p, b, top, bottom, width, size, 255.0, to);
  } else if (p.kind == kUint16) {
    window_means<uint16_t, uint32_t, uint64_t>(p, b, top, bottom, width, size, 65535.0, to);
  } else {
    window_means<float, float, double>(p, b, top, bottom, width, size, 1.0, to);
  }
}

// A function of its own: within the next the compiler finds slower code for it.
DISPATCH void add_converted(const Picture& p, int b, int y, int width, const ToModel& colours,
                            float* const* rows, float* sums) {
  read_row(p, b, y, width, &colours, nullptr, rows, sums);
}

// Rows [first, last) of the low-res picture, of converted colours. Converting is what this costs:
// a row that two windows share is converted once.
DISPATCH void converted_lowres(const Picture& p, int b, int height, int width, int size, int first,
                               int last, const ToModel& colours, float* lowres) {
  std::vector<float> memory(6 * size_t(width));
  float* sums = memory.data();
  float* rows[3];
  for (int c = 0; c < 3; ++c) rows[c] = sums + (3 + c) * int64_t(width);
  int converted = -1;
  for (int i = first; i < last; ++i) {
    const int top = int(int64_t(i) * height / size);
    const int bottom = int((int64_t(i + 1) * height + size - 1) / size);
    std::fill(sums, rows[0], 0.0f);
    for (int y = top; y < bottom; ++y) {
      if (y == converted) {
        add_row(rows[0], 1, 3 * width, sums);
      } else {
        add_converted(p, b, y, width, colours, rows, sums);
      }
      converted = y;
    }
    float* to[3];
    for (int c = 0; c < 3; ++c) to[c] = lowres + (int64_t(c) * size + i) * size;
    means_across<float, double>(sums, 1, width, bottom - top, width, size, to);
  }
}

}  // namespace

// shape as in slice_cpu.cpp, of the fast kind. width 0: parameters are the packed curves of
// curves.h; else a pointwise guide of that width: w1, b1, w2, b2. Strides are (B, C, H, W). image
// and out hold rows [first, first + rows) of the picture that shape describes. to_model and
// from_model: null where colours stay as they are; else image, or out, are integers.
API void hdrbench_enhance(const int32_t* shape, const float* grid, int32_t width,
                          const float* parameters, void* image, const int64_t* image_strides,
                          int32_t image_kind, void* out, const int64_t* out_strides,
                          int32_t out_kind, int32_t first, int32_t rows, const ToModel* to_model,
                          const FromModel* from_model, int32_t threads) {
  const Shape s = shape_of(shape);
  Curves curves;
  if (width == 0) std::memcpy(&curves, parameters, sizeof curves);
  const float* b1 = parameters + 3 * width;
  const Pointwise pointwise = {width, parameters, b1, b1 + width, b1[2 * width]};
  const Picture from = picture_of(image, image_strides, image_kind);
  const Picture to = picture_of(out, out_strides, out_kind);
  const auto fractions = column_fractions(s);
  parallel(s.batch * kBands, threads, [&](int job) {
    const int b = job / kBands, band = job % kBands;
    enhance_rows(s, first, b, band_begin(rows, band), band_begin(rows, band + 1),
                 fractions.data(), grid, width == 0 ? &curves : nullptr, &pointwise, from, to,
                 to_model, from_model);
  });
}

// sizes: batch, height, width, size; lowres (batch, 3, size, size). to_model: null, or the image is
// of integers.
API void hdrbench_area_lowres(const int32_t* sizes, void* image, const int64_t* strides,
                              int32_t kind, const ToModel* to_model, float* lowres,
                              int32_t threads) {
  const int batch = sizes[0], height = sizes[1], width = sizes[2], size = sizes[3];
  const Picture from = picture_of(image, strides, kind);
  if (to_model) {
    parallel(batch * kBands, threads, [&](int job) {
      const int b = job / kBands, band = job % kBands;
      converted_lowres(from, b, height, width, size, band_begin(size, band),
                       band_begin(size, band + 1), *to_model,
                       lowres + int64_t(b) * 3 * size * size);
    });
    return;
  }
  parallel(batch * size, threads, [&](int job) {
    const int b = job / size, i = job % size;
    float* to[3];
    for (int c = 0; c < 3; ++c) to[c] = lowres + ((int64_t(b) * 3 + c) * size + i) * size;
    lowres_row(from, b, height, width, size, i, to);
  });
}

// Raised with every change of this interface, so that an old build is not called with new
// arguments.
API int32_t hdrbench_interface() { return 5; }

// Advice for memory that nobody has written yet; whether it is taken changes no result.
API void hdrbench_huge_pages(void* memory, int64_t bytes) {
#ifdef __linux__
  const uintptr_t page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  const uintptr_t begin = (reinterpret_cast<uintptr_t>(memory) + page - 1) / page * page;
  const uintptr_t end = (reinterpret_cast<uintptr_t>(memory) + bytes) / page * page;
  if (begin < end) madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE);
#else
  (void)memory, (void)bytes;
#endif
}
