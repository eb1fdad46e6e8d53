// Inference in one pass over the picture: guide, slice, apply, and the picture's own element type.
// A pixel's guide is made in registers from the colours that are about to be transformed: it is
// never in memory, and the picture is read once and written once.
#include "guide_cuda.cu"

namespace hdrbench {

// `words` parameters of the guide, a multiple of four, stand first in shared memory, the slab after
// them. One barrier is enough for both.
template <typename T, int kLayout, typename Guide>
inline void enhance(const float* cells, const float* parameters, int words, const Guide& guide,
                    const T* image, T* out, const Sizes& s, const Strides& image_s,
                    const Strides& out_s, int block_rows) {
  const int x_begin = block_x() * kSegment, y_begin = block_y() * block_rows;
  const int x_end = x_begin + kSegment < s.width ? x_begin + kSegment : s.width;
  const int y_end = y_begin + block_rows < s.height ? y_begin + block_rows : s.height;
  const long long b = block_z();
  load_parameters4(parameters, words, guide.matrices(), Unit<T>::kColour);
  const Slab slab = make_slab<T>(words / 4, cells + b * kMatrix * s.depth * s.rows * s.columns, s,
                                 x_begin, x_end, y_begin, block_rows);
  barrier();
  apply_rows<T, kLayout>(slab, s, guide, image + b * image_s.b, out + b * out_s.b, image_s, out_s,
                         x_begin, x_end, y_begin, y_end);
}

// The low-res input (B, 3, size, size): the mean over windows from floor(i H / size) to
// ceil((i + 1) H / size), as torch's "area". A block has `outputs` neighbouring windows of a row of
// one channel: its threads sum the rows of the columns that these span, side by side (four of them
// in a word where rows are planar), and then the columns of each window.
template <typename T>
inline void area_lowres(const T* image, float* lowres, int height, int width, int size,
                        int outputs, const Strides& s, int layout) {
  const int i = block_y(), c = block_z() % 3, j_begin = block_x() * outputs;
  const int j_end = j_begin + outputs < size ? j_begin + outputs : size;
  const long long b = block_z() / 3;
  const int top = int((long long)i * height / size);
  const int bottom = int(((long long)(i + 1) * height + size - 1) / size);
  const int begin = int((long long)j_begin * width / size);
  const int first = layout == kPlanar ? begin & ~3 : begin;  // words begin at multiples of four
  const int last = int(((long long)j_end * width + size - 1) / size);
  const T* plane = image + b * s.b + c * s.c;
  if (layout == kPlanar) {
    NO_UNROLL for (int x = first + 4 * thread(); x < last; x += 4 * kThreads) {
      float columns[4] = {};
      UNROLL_4 for (int y = top; y < bottom; ++y) {
        float values[4];
        load4(plane + y * s.y + x, values);
        UNROLL for (int k = 0; k < 4; ++k) columns[k] += values[k];
      }
      shared_store4((x - first) / 4,
                    make_float4(columns[0], columns[1], columns[2], columns[3]));
    }
  } else {
    NO_UNROLL for (int x = first + thread(); x < last; x += kThreads) {
      float column = 0.0f;
      UNROLL_4 for (int y = top; y < bottom; ++y) column += load1(plane + y * s.y + x * s.x);
      shared_store(x - first, column);
    }
  }
  barrier();
  NO_UNROLL for (int j = j_begin + thread(); j < j_end; j += kThreads) {
    const int left = int((long long)j * width / size);
    const int right = int(((long long)(j + 1) * width + size - 1) / size);
    float total = 0.0f;
    NO_UNROLL for (int x = left; x < right; ++x) total += shared_load(x - first);
    global_store(lowres + ((long long)block_z() * size + i) * size + j,
                 total / (float(bottom - top) * float(right - left)));
  }
}

}  // namespace hdrbench

#ifdef HDRBENCH_ENHANCE
#define ENHANCE_GUIDE(name, T, blocks, guide, words, Guide)                                      \
  KERNEL(128, blocks) enhance_##guide##_##name(                                                  \
      const float* cells, const float* parameters, int hidden, const hdrbench::T* image,          \
      hdrbench::T* out, SIZES, STRIDES(image), STRIDES(out), int block_rows, int layout) {       \
    using namespace hdrbench;                                                                    \
    const Sizes s = {depth, rows, columns, height, width};                                       \
    if (layout == kPlanar) {                                                                     \
      enhance<T, kPlanar>(cells, parameters, words, Guide, image, out, s, OF(image), OF(out),     \
                          block_rows);                                                           \
    } else if (layout == kInterleaved) {                                                         \
      enhance<T, kInterleaved>(cells, parameters, words, Guide, image, out, s, OF(image),         \
                               OF(out), block_rows);                                             \
    } else {                                                                                     \
      enhance<T, kAnyLayout>(cells, parameters, words, Guide, image, out, s, OF(image), OF(out),  \
                             block_rows);                                                        \
    }                                                                                            \
  }

#define ENHANCE(name, T, blocks)                                                                 \
  ENHANCE_GUIDE(name, T, blocks, curves, 4 * kTableFours, TableGuide())                          \
  ENHANCE_GUIDE(name, T, blocks, pointwise, (5 * hidden + 4) / 4 * 4, PointwiseGuide{hidden})    \
  KERNEL(128, 8) area_lowres_##name(const hdrbench::T* image, float* lowres, int height,         \
                                    int width, int size, int outputs, STRIDES(image),            \
                                    int layout) {                                                \
    hdrbench::area_lowres(image, lowres, height, width, size, outputs, OF(image), layout);       \
  }

ENHANCE(f32, Float, 4)
ENHANCE(f16, Half, 5)
ENHANCE(u8, Byte, 5)
#endif
