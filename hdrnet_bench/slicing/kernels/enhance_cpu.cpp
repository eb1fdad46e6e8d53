// Inference in one pass over the picture: guide, slice, apply, and the conversion from and to the
// picture's own type, a row at a time. What it needs beside input and output is a few rows, which
// stay in a core's caches: main memory has the picture read once and the result written once.
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

enum Kind : int32_t { kFloat, kUint8, kUint16 };

struct Picture {
  void* data;
  int64_t stride_b, stride_c, stride_y, stride_x;  // in elements
  Kind kind;
};

// Multiplied with the inverse, which is within one unit in the last place of dividing and costs a
// fraction of it.
template <typename T>
INLINE void read_integers(const T* from, int64_t stride, int width, float scale, float* row) {
  if (stride == 1) {  // a loop of its own, which the compiler vectorises
    for (int x = 0; x < width; ++x) row[x] = float(from[x]) * scale;
  } else {
    for (int x = 0; x < width; ++x) row[x] = float(from[x * stride]) * scale;
  }
}

#if defined(__has_builtin)
#if __has_builtin(__builtin_shufflevector)
#define HAS_SHUFFLES
#endif
#endif

// Between 16 pixels whose bytes lie r g b r g b … and a vector of each channel. A shuffle takes two
// vectors, and a result needs bytes of three: the first shuffle leaves any byte (index 0) where the
// third vector's belongs, the second puts it there.
#ifdef HAS_SHUFFLES
typedef uint8_t b16 __attribute__((vector_size(16)));

// The indices of 16 lanes by a formula of each lane's number.
#define LANES16(f)                                                                             \
  f(0), f(1), f(2), f(3), f(4), f(5), f(6), f(7), f(8), f(9), f(10), f(11), f(12), f(13), f(14), \
      f(15)

// Channel c of pixel k is byte 3 k + c of three vectors: the first two, then the third.
template <int c>
INLINE b16 channel_of(b16 first, b16 second, b16 third) {
#define IN_TWO(k) (3 * k + c < 32 ? 3 * k + c : 0)
#define IN_THIRD(k) (3 * k + c < 32 ? k : 3 * k + c - 16)
  const b16 two = __builtin_shufflevector(first, second, LANES16(IN_TWO));
  return __builtin_shufflevector(two, third, LANES16(IN_THIRD));
#undef IN_TWO
#undef IN_THIRD
}

// Byte k of the part-th vector is channel (16 part + k) mod 3 of pixel (16 part + k) / 3.
template <int part>
INLINE b16 side_by_side(b16 r, b16 g, b16 b) {
#define PIXEL(k) ((16 * part + k) / 3)
#define CHANNEL(k) ((16 * part + k) % 3)
#define OF_RG(k) (CHANNEL(k) < 2 ? PIXEL(k) + 16 * CHANNEL(k) : 0)
#define OF_B(k) (CHANNEL(k) < 2 ? k : 16 + PIXEL(k))
  const b16 rg = __builtin_shufflevector(r, g, LANES16(OF_RG));
  return __builtin_shufflevector(rg, b, LANES16(OF_B));
#undef PIXEL
#undef CHANNEL
#undef OF_RG
#undef OF_B
}

// Returns how many pixels were moved, a multiple of 16; the rest is the caller's. Without shuffles,
// and for 16 bits, that is all of them.
INLINE int take_apart(const uint8_t* from, int width, uint8_t* r, uint8_t* g, uint8_t* b) {
  int x = 0;
  for (; x + 16 <= width; x += 16) {
    b16 in[3];
    std::memcpy(in, from + 3 * x, sizeof in);
    const b16 out[3] = {channel_of<0>(in[0], in[1], in[2]), channel_of<1>(in[0], in[1], in[2]),
                        channel_of<2>(in[0], in[1], in[2])};
    std::memcpy(r + x, &out[0], 16);
    std::memcpy(g + x, &out[1], 16);
    std::memcpy(b + x, &out[2], 16);
  }
  return x;
}

INLINE int put_together(uint8_t* to, int width, const uint8_t* r, const uint8_t* g,
                        const uint8_t* b) {
  int x = 0;
  for (; x + 16 <= width; x += 16) {
    b16 in[3];
    std::memcpy(&in[0], r + x, 16);
    std::memcpy(&in[1], g + x, 16);
    std::memcpy(&in[2], b + x, 16);
    const b16 out[3] = {side_by_side<0>(in[0], in[1], in[2]),
                        side_by_side<1>(in[0], in[1], in[2]),
                        side_by_side<2>(in[0], in[1], in[2])};
    std::memcpy(to + 3 * x, out, sizeof out);
  }
  return x;
}
#else
INLINE int take_apart(const uint8_t*, int, uint8_t*, uint8_t*, uint8_t*) { return 0; }
INLINE int put_together(uint8_t*, int, const uint8_t*, const uint8_t*, const uint8_t*) { return 0; }
#endif
INLINE int take_apart(const uint16_t*, int, uint16_t*, uint16_t*, uint16_t*) { return 0; }
INLINE int put_together(uint16_t*, int, const uint16_t*, const uint16_t*, const uint16_t*) {
  return 0;
}

// Pixels whose channels lie side by side. Moved as integers and converted by the row: in one loop
// the compiler finds no good vectors for both.
template <typename T>
INLINE void read_interleaved(const T* from, int width, float scale, T* planes,
                             float* const* rows) {
  T *r = planes, *g = planes + width, *b = planes + 2 * width;
  for (int x = take_apart(from, width, r, g, b); x < width; ++x) {
    r[x] = from[3 * x];
    g[x] = from[3 * x + 1];
    b[x] = from[3 * x + 2];
  }
  for (int c = 0; c < 3; ++c) read_integers(planes + c * width, 1, width, scale, rows[c]);
}

INLINE bool is_interleaved(const Picture& p) { return p.stride_x == 3 && p.stride_c == 1; }

// The three channels of a row, in [0, 1] where they are integers.
INLINE void read_row(const Picture& p, int b, int y, int width, uint16_t* scratch,
                     float* const* rows) {
  const int64_t at = b * p.stride_b + y * p.stride_y;
  const uint8_t* bytes = static_cast<const uint8_t*>(p.data) + at;
  const uint16_t* words = static_cast<const uint16_t*>(p.data) + at;
  const float* floats = static_cast<const float*>(p.data) + at;
  if (is_interleaved(p) && p.kind == kUint8) {
    read_interleaved(bytes, width, 1.0f / 255.0f, reinterpret_cast<uint8_t*>(scratch), rows);
    return;
  }
  if (is_interleaved(p) && p.kind == kUint16) {
    read_interleaved(words, width, 1.0f / 65535.0f, scratch, rows);
    return;
  }
  for (int c = 0; c < 3; ++c) {
    const int64_t plane = c * p.stride_c;
    if (p.kind == kUint8) {
      read_integers(bytes + plane, p.stride_x, width, 1.0f / 255.0f, rows[c]);
    } else if (p.kind == kUint16) {
      read_integers(words + plane, p.stride_x, width, 1.0f / 65535.0f, rows[c]);
    } else {
      for (int x = 0; x < width; ++x) rows[c][x] = floats[plane + x * p.stride_x];
    }
  }
}

// Clamped and rounded: adding and taking away 2^23 rounds to nearest, ties to even, as torch does,
// with additions alone, which are vectorised on every processor. A NaN becomes 0.
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

template <typename T>
INLINE void write_interleaved(T* to, int width, float white, T* planes,
                              float* const* rows) {
  for (int c = 0; c < 3; ++c) write_integers(planes + c * width, 1, width, white, rows[c]);
  const T *r = planes, *g = planes + width, *b = planes + 2 * width;
  for (int x = put_together(to, width, r, g, b); x < width; ++x) {
    to[3 * x] = r[x];
    to[3 * x + 1] = g[x];
    to[3 * x + 2] = b[x];
  }
}

INLINE void write_row(const Picture& p, int b, int y, int width, uint16_t* scratch,
                      float* const* rows) {
  const int64_t at = b * p.stride_b + y * p.stride_y;
  uint8_t* bytes = static_cast<uint8_t*>(p.data) + at;
  uint16_t* words = static_cast<uint16_t*>(p.data) + at;
  float* floats = static_cast<float*>(p.data) + at;
  if (is_interleaved(p) && p.kind == kUint8) {
    write_interleaved(bytes, width, 255.0f, reinterpret_cast<uint8_t*>(scratch), rows);
    return;
  }
  if (is_interleaved(p) && p.kind == kUint16) {
    write_interleaved(words, width, 65535.0f, scratch, rows);
    return;
  }
  for (int c = 0; c < 3; ++c) {
    const int64_t plane = c * p.stride_c;
    if (p.kind == kUint8) {
      write_integers(bytes + plane, p.stride_x, width, 255.0f, rows[c]);
    } else if (p.kind == kUint16) {
      write_integers(words + plane, p.stride_x, width, 65535.0f, rows[c]);
    } else {
      for (int x = 0; x < width; ++x) floats[plane + x * p.stride_x] = rows[c][x];
    }
  }
}

// The pictures begin at row `first` of a picture of s.height rows; y counts from there. A row is
// read whole before it is written, so that `out` may be `image`.
DISPATCH void enhance_rows(const Shape& s, int first, int b, int y_begin, int y_end,
                           const float* fractions, const float* grid, const Curves* curves,
                           const Pointwise* pointwise, const Picture& image,
                           const Picture& out) {
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
    read_row(image, b, y, s.width, scratch.data(), in);
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
    write_row(out, b, y, s.width, scratch.data(), to);
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
  for (int j = 0; j < size; ++j) {
    const int left = int(int64_t(j) * width / size);
    const int right = int((int64_t(j + 1) * width + size - 1) / size);
    const double pixels = white * (bottom - top) * (right - left);  // one division a mean
    for (int c = 0; c < 3; ++c) {
      const Sum* channel = sums.data() + (together ? c : c * int64_t(width));
      Total total = 0;
      for (int x = left; x < right; ++x) total += channel[x * int64_t(step)];
      to[c][j] = float(double(total) / pixels);
    }
  }
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
  parallel(batch * size, threads, [&](int job) {
    const int b = job / size, i = job % size;
    float* to[3];
    for (int c = 0; c < 3; ++c) to[c] = lowres + ((int64_t(b) * 3 + c) * size + i) * size;
    lowres_row(from, b, height, width, size, i, to);
  });
}

// Raised with every change of this interface, so that an old build is not called with new
// arguments.
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
