// Inference in one pass over the picture: guide, slice, apply, and the picture's own element type.
// A pixel's guide is made in registers from the colours that are about to be transformed: it is
// never in memory, and the picture is read once and written once.
#include "guide_cuda.cu"

namespace hdrbench {

// `words` parameters of the guide stand first in shared memory, the slab after them, from the next
// multiple of four words on: it is read by 128 bits. One barrier is enough for both.
template <typename T, int kLayout, typename Guide>
inline void enhance(const float* grid, const float* parameters, int words, const Guide& guide,
                    const T* image, T* out, const Sizes& s, const Strides& image_s,
                    const Strides& out_s, int block_rows) {
  const int x_begin = block_x() * kSegment, y_begin = block_y() * block_rows;
  const int x_end = x_begin + kSegment < s.width ? x_begin + kSegment : s.width;
  const int y_end = y_begin + block_rows < s.height ? y_begin + block_rows : s.height;
  const long long b = block_z();
  load_parameters(parameters, words);
  const Slab slab =
      make_slab((words + 3) / 4, grid + b * kMatrix * s.depth * s.rows * s.columns, s, x_begin,
                x_end, y_begin, block_rows);
  barrier();
  apply_rows<T, kLayout>(slab, s, guide, image + b * image_s.b, out + b * out_s.b, image_s, out_s,
                         x_begin, x_end, y_begin, y_end);
}

// The low-res input: a thread for each of its values (B, 3, size, size), the mean over the window
// from floor(i H / size) to ceil((i + 1) H / size), as torch's "area".
template <typename T>
inline void area_lowres(const T* image, float* lowres, int batch, int height, int width, int size,
                        const Strides& s) {
  const long long at = (long long)block_x() * kThreads + thread();
  const int j = int(at % size), i = int(at / size % size);
  const int c = int(at / ((long long)size * size) % 3);
  const long long b = at / (3LL * size * size);
  if (b >= batch) return;
  const int top = int((long long)i * height / size);
  const int bottom = int(((long long)(i + 1) * height + size - 1) / size);
  const int left = int((long long)j * width / size);
  const int right = int(((long long)(j + 1) * width + size - 1) / size);
  const T* plane = image + b * s.b + c * s.c;
  float total = 0.0f;
  NO_UNROLL for (int y = top; y < bottom; ++y) {
    float row = 0.0f;  // a sum of its own, so that few are added to a large one
    NO_UNROLL for (int x = left; x < right; ++x) row += load1(plane + y * s.y + x * s.x);
    total += row;
  }
  global_store(lowres + at, total / (float(bottom - top) * float(right - left)));
}

}  // namespace hdrbench

#define ENHANCE_GUIDE(name, T, guide, words, Guide)                                              \
  KERNEL(128, 4) enhance_##guide##_##name(                                                       \
      const float* grid, const float* parameters, int hidden, const hdrbench::T* image,          \
      hdrbench::T* out, SIZES, STRIDES(image), STRIDES(out), int block_rows, int layout) {       \
    using namespace hdrbench;                                                                    \
    const Sizes s = {depth, rows, columns, height, width};                                       \
    if (layout == kPlanar) {                                                                     \
      enhance<T, kPlanar>(grid, parameters, words, Guide, image, out, s, OF(image), OF(out),     \
                          block_rows);                                                           \
    } else if (layout == kInterleaved) {                                                         \
      enhance<T, kInterleaved>(grid, parameters, words, Guide, image, out, s, OF(image),         \
                               OF(out), block_rows);                                             \
    } else {                                                                                     \
      enhance<T, kAnyLayout>(grid, parameters, words, Guide, image, out, s, OF(image), OF(out),  \
                             block_rows);                                                        \
    }                                                                                            \
  }

#define ENHANCE(name, T)                                                                         \
  ENHANCE_GUIDE(name, T, curves, kConstant + 1, CurvesGuide())                                   \
  ENHANCE_GUIDE(name, T, pointwise, 5 * hidden + 1, PointwiseGuide{hidden})                      \
  KERNEL(128, 8) area_lowres_##name(const hdrbench::T* image, float* lowres, int batch,          \
                                    int height, int width, int size, STRIDES(image)) {           \
    hdrbench::area_lowres(image, lowres, batch, height, width, size, OF(image));                 \
  }

ENHANCE(f32, Float)
ENHANCE(f16, Half)
ENHANCE(u8, Byte)
