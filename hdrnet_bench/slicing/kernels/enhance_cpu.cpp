// Inference in one pass over the picture: guide, slice, apply, and the conversion from and to the
// picture's own type, a row at a time. What it needs beside input and output is a few rows.
#ifdef __linux__
#include <sys/mman.h>
#include <unistd.h>
#endif

#include "curves.h"
#include "fast_slice.h"

namespace {

// A pointwise guide with its batch norm folded in: sigmoid(w2 . relu(w1 x + b1) + b2).
struct Pointwise {
  int width;
  const float *w1, *b1, *w2;  // (width, 3), (width), (width)
  float b2;
};

// exp(x), within 2e-7 of itself for |x| <= 87, where it is clamped.
INLINE v8 vexp(v8 x) {
  x = vmin(vmax(x, splat(-87.0f)), splat(87.0f));
  const v8 scaled = x * 1.44269504f;
  const v8 whole = (scaled + 12582912.0f) - 12582912.0f;  // 1.5 * 2^23: rounds to an integer
  // x - whole * log(2), in two parts so that nothing is lost.
  const v8 r = (x - whole * 0.693359375f) + whole * 2.12194440e-4f;
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

INLINE v8 pointwise_guide(const Pointwise& g, const v8* pixel) {
  v8 sum = splat(g.b2);
  for (int k = 0; k < g.width; ++k) {
    const v8 hidden = pixel[0] * g.w1[3 * k] + pixel[1] * g.w1[3 * k + 1] +
                      (pixel[2] * g.w1[3 * k + 2] + g.b1[k]);
    sum += vmax(hidden, v8{}) * g.w2[k];
  }
  return 1.0f / (1.0f + vexp(-sum));
}

enum Kind : int32_t { kFloat, kUint8, kUint16 };

struct Picture {
  void* data;
  int64_t stride_b, stride_c, stride_y, stride_x;  // in elements
  Kind kind;
};

template <typename T>
INLINE void read_integers(const T* from, int64_t stride, int width, float scale, float* row) {
  if (stride == 1) {  // said apart, so that the compiler can use registers
    for (int x = 0; x < width; ++x) row[x] = float(from[x]) * scale;
  } else {
    for (int x = 0; x < width; ++x) row[x] = float(from[x * stride]) * scale;
  }
}

INLINE void read_row(const Picture& p, int b, int channel, int y, int width, float* row) {
  const int64_t at = b * p.stride_b + channel * p.stride_c + y * p.stride_y;
  if (p.kind == kUint8) {
    read_integers(static_cast<const uint8_t*>(p.data) + at, p.stride_x, width, 1.0f / 255.0f, row);
  } else if (p.kind == kUint16) {
    read_integers(static_cast<const uint16_t*>(p.data) + at, p.stride_x, width, 1.0f / 65535.0f,
                  row);
  } else {
    const float* from = static_cast<const float*>(p.data) + at;
    for (int x = 0; x < width; ++x) row[x] = from[x * p.stride_x];
  }
}

// Clamped and rounded: adding and taking away 2^23 rounds to nearest, ties to even, as torch does.
INLINE int level(float value, float white) {
  value = value > 0.0f ? value : 0.0f;
  value = value < 1.0f ? value : 1.0f;
  return int((value * white + 8388608.0f) - 8388608.0f);
}

template <typename T>
INLINE void write_integers(T* to, int64_t stride, int width, float white, const float* row) {
  if (stride == 1) {
    for (int x = 0; x < width; ++x) to[x] = T(level(row[x], white));
  } else {
    for (int x = 0; x < width; ++x) to[x * stride] = T(level(row[x], white));
  }
}

INLINE void write_row(const Picture& p, int b, int channel, int y, int width, const float* row) {
  const int64_t at = b * p.stride_b + channel * p.stride_c + y * p.stride_y;
  if (p.kind == kUint8) {
    write_integers(static_cast<uint8_t*>(p.data) + at, p.stride_x, width, 255.0f, row);
  } else if (p.kind == kUint16) {
    write_integers(static_cast<uint16_t*>(p.data) + at, p.stride_x, width, 65535.0f, row);
  } else {
    float* to = static_cast<float*>(p.data) + at;
    for (int x = 0; x < width; ++x) to[x * p.stride_x] = row[x];
  }
}

// The pictures begin at row `first` of a picture of s.height rows; y counts from there. A row is
// read whole before it is written, so that `out` may be `image`.
DISPATCH void enhance_rows(const Shape& s, int first, int b, int y_begin, int y_end,
                           const float* fractions, const float* grid, const Curves* curves,
                           const Pointwise* pointwise, const Picture& image,
                           const Picture& out) {
  const int64_t slab_size = int64_t(s.columns) * kCoefficients * kLanes;
  std::vector<float> memory(slab_size + 7 * int64_t(s.width));
  float* slab = memory.data();
  float* guide = slab + slab_size;
  float* in[3] = {guide + s.width, guide + 2 * s.width, guide + 3 * s.width};
  float* to[3] = {guide + 4 * s.width, guide + 5 * s.width, guide + 6 * s.width};
  const float constant = curves ? curve_constant(*curves) : 0.0f;
  for (int y = y_begin; y < y_end; ++y) {
    for (int i = 0; i < 3; ++i) read_row(image, b, i, y, s.width, in[i]);
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
    for (int o = 0; o < 3; ++o) write_row(out, b, o, y, s.width, to[o]);
  }
}

// One row of the low-res picture: the mean over windows from floor(i H / size) to
// ceil((i + 1) H / size), as torch's adaptive average pooling has them.
DISPATCH void lowres_row(const Picture& p, int b, int channel, int height, int width, int size,
                         int i, float* to) {
  const int top = int(int64_t(i) * height / size);
  const int bottom = int((int64_t(i + 1) * height + size - 1) / size);
  std::vector<float> memory(2 * size_t(width), 0.0f);
  float *sum = memory.data(), *row = sum + width;
  for (int y = top; y < bottom; ++y) {
    read_row(p, b, channel, y, width, row);
    for (int x = 0; x < width; ++x) sum[x] += row[x];
  }
  for (int j = 0; j < size; ++j) {
    const int left = int(int64_t(j) * width / size);
    const int right = int((int64_t(j + 1) * width + size - 1) / size);
    double total = 0;
    for (int x = left; x < right; ++x) total += sum[x];
    to[j] = float(total / (double(bottom - top) * (right - left)));
  }
}

Picture picture_of(void* data, const int64_t* strides, int kind) {
  return {data, strides[0], strides[1], strides[2], strides[3], Kind(kind)};
}

}  // namespace

// shape as in slice_cpu.cpp, of the fast kind. width 0: parameters are the packed curves of
// curves.h; else a pointwise guide of that width: w1, b1, w2, b2. Strides are (B, C, H, W). image
// and out hold rows [first, first + rows) of the picture that shape describes.
API void hdrbench_enhance(const int32_t* shape, const float* grid, int32_t width,
                          const float* parameters, void* image, const int64_t* image_strides,
                          void* out, const int64_t* out_strides, int32_t kind, int32_t first,
                          int32_t rows, int32_t threads) {
  const Shape s = shape_of(shape);
  Curves curves;
  if (width == 0) std::memcpy(&curves, parameters, sizeof curves);
  const float* b1 = parameters + 3 * width;
  const Pointwise pointwise = {width, parameters, b1, b1 + width, b1[2 * width]};
  const Picture from = picture_of(image, image_strides, kind);
  const Picture to = picture_of(out, out_strides, kind);
  const auto fractions = column_fractions(s);
  parallel(s.batch * kBands, threads, [&](int job) {
    const int b = job / kBands, band = job % kBands;
    enhance_rows(s, first, b, band_begin(rows, band), band_begin(rows, band + 1),
                 fractions.data(), grid, width == 0 ? &curves : nullptr, &pointwise, from, to);
  });
}

// sizes: batch, height, width, size; lowres (batch, 3, size, size).
API void hdrbench_area_lowres(const int32_t* sizes, void* image, const int64_t* strides,
                              int32_t kind, float* lowres, int32_t threads) {
  const int batch = sizes[0], height = sizes[1], width = sizes[2], size = sizes[3];
  const Picture from = picture_of(image, strides, kind);
  parallel(batch * 3 * size, threads, [&](int job) {
    const int plane = job / size, i = job % size;
    lowres_row(from, plane / 3, plane % 3, height, width, size, i, lowres + int64_t(job) * size);
  });
}

// Raised with every change of this interface, so that an old build is not called with new arguments.
API int32_t hdrbench_interface() { return 4; }

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
