// Slice and apply, forward: 3 x 4 matrices from a slab in shared memory, and any other shape.
//
// A block takes some rows of kSegment pixels. For each row it interpolates the columns of
// the grid that the segment meets along y into a slab [x][z][12]: four corners are left for a pixel
// instead of eight. Twelve words between depth planes put the planes of eight luma bins on
// different banks for 128-bit reads, so neighbouring pixels of any guides do not wait for each
// other: plane z begins at bank 12 z mod 32, which for eight planes are the eight multiples of
// four.
//
// Of global memory each pixel is read once and written once; the grid's columns are read again by
// every block, once for its rows. They come as [y][x][z][12] ("cells", ../cuda.py), in
// the slab's own order, so that four words of it are one read, one interpolation and one write: of
// the grid's planes word by word, that was two fifths of the kernel's instructions.
#include "pixels.h"
#include "slice.h"

namespace hdrbench {

const int kThreads = 128;
const int kPixels = 4;  // of a thread, side by side
const int kSegment = kThreads * kPixels;
const int kMatrix = 12;
const int kFours = kMatrix / 4;  // 128-bit words of a cell

struct Sizes { int depth, rows, columns, height, width; };

// Two neighbouring cells and the weight of the upper one. As tap_at, but for the last cell, which is
// here the upper one with the weight 1: from the lower to the upper cell is the same step
// everywhere. A position that is a whole number may have either cell as its lower one.
//
// The lower cell is kept as the bits of kRound and it: what is multiplied with a step takes off
// kWhole times that step once, beforehand.
struct Pair {
  unsigned bits;
  float fraction;
  inline int low() const { return int(bits - kWhole); }
};

inline Pair pair_at(float position, int cells) {
  // fmaxf makes 0 of a NaN.
  const float place = fminf(fmaxf(position, 0.0f), float(cells - 1));
  const float shifted = fminf(place - 0.5f, fmaxf(float(cells - 2), 0.0f)) + kRound;
  return {float_to_bits(shifted), place - (shifted - kRound)};
}

// Along the picture's width or height; cells over pixels is divided once, not for every pixel.
inline Pair pair_of_pixel(int index, float scale, int cells) {
  return pair_at((float(index) + 0.5f) * scale - 0.5f, cells);
}

// The same along the depth, for every pixel, in fewer instructions: the place is rounded down. It ends
// a float's least step below the last plane, so that the lower plane is never that one.
struct Depth {
  int cells;
  float last;
  // `zero` has the bits of kRound + n, with n the number of the row's first plane in shared memory.
  inline Pair at(float guide, unsigned zero) const {
    const float first = bits_to_float(zero);
    const float place = fminf(fmaxf(depth_position(guide, cells), 0.0f), last);
    const float shifted = add_down(place, first);
    return {float_to_bits(shifted), place - (shifted - first)};
  }
};

inline Depth depth_of(int cells) {
  const float last = float(cells - 1);
  return {cells, cells > 1 ? bits_to_float(float_to_bits(last) - 1u) : last};
}

struct Slab {
  int base;     // where it begins in shared memory, in fours of words
  int first;    // column of the grid that stands first
  unsigned step;  // bytes between two columns; 0 where there is one alone
  unsigned up;    // and between two planes
  int cells;    // in a row's slab
  float scale;  // cells of a pixel along x
};

inline float4 less4(float4 a, float4 b) {
  return make_float4(a.x - b.x, a.y - b.y, a.z - b.z, a.w - b.w);
}
inline float4 with_colours_of(float unit, float4 row) {
  return make_float4(unit * row.x, unit * row.y, unit * row.z, row.w);
}
inline float4 plus4(float4 a, float weight, float4 b) {
  return make_float4(a.x + weight * b.x, a.y + weight * b.y, a.z + weight * b.z,
                     a.w + weight * b.w);
}

// The slabs of a block's rows from y_begin on, for pixels [x_begin, x_end) of one picture, whose
// channels are multiplied as they are stored. Nobody may read them before the next barrier.
template <typename T>
inline Slab make_slab(int base, const float* cells, const Sizes& s, int x_begin, int x_end,
                      int y_begin, int rows) {
  const int column = s.depth * kFours;  // of the grid, in fours
  Slab slab;
  slab.base = base;
  slab.scale = float(s.columns) / float(s.width);
  slab.first = pair_of_pixel(x_begin, slab.scale, s.columns).low();
  const int last = pair_of_pixel(x_end - 1, slab.scale, s.columns).low() + (s.columns > 1);
  slab.step = s.columns > 1 ? 16 * column : 0;
  slab.up = s.depth > 1 ? 16 * kFours : 0;
  slab.cells = (last + 1 - slab.first) * s.depth;
  const int row = slab.cells * kFours;
  const float scale = float(s.rows) / float(s.height);
  const int grid_row = s.columns * column, down = s.rows > 1 ? grid_row : 0;
  const float4* from = reinterpret_cast<const float4*>(cells) + slab.first * column;
  NO_UNROLL for (int i = thread(); i < row; i += kThreads) {
    int before = -1;
    float4 low, change;
    NO_UNROLL for (int r = 0; r < rows; ++r) {
      const int y = y_begin + r < s.height ? y_begin + r : s.height - 1;
      const Pair at = pair_of_pixel(y, scale, s.rows);
      if (at.low() != before) {  // most rows of a block lie between the same two of the grid
        before = at.low();
        const float4* at_row = from + before * grid_row + i;
        low = with_colours_of(Unit<T>::kColour, global_load(at_row));
        change = less4(with_colours_of(Unit<T>::kColour, global_load(at_row + down)), low);
      }
      shared_store4(base + r * row + i, plus4(low, at.fraction, change));
    }
  }
  return slab;
}

// Where a pixel reads the slab's columns.
const unsigned kCell = 16 * kFours;  // bytes of a matrix
struct Column {
  unsigned place;  // of the lower column, less kWhole planes
  float fraction;
};

inline Column column_at(const Slab& slab, const Sizes& s, int x) {
  const Pair at = pair_of_pixel(x, slab.scale, s.columns);
  const int column = slab.base + (at.low() - slab.first) * s.depth * kFours;
  return {shared_place(column) - kWhole * kCell, at.fraction};
}

// The four corners around a pixel, of the lower column at the lower and the upper plane, then of the
// upper one, and their weights: products of the fractions, two of them by a difference in place of a
// product.
struct Corners {
  unsigned places[4];
  float weights[4];
};

inline Corners corners_at(const Slab& slab, const Column& column, const Depth& depth,
                          unsigned zero, float guide) {
  const Pair z = depth.at(guide, zero);
  const unsigned place = column.place + z.bits * kCell, across = place + slab.step;
  const float fx = column.fraction;
  const float w01 = (1.0f - fx) * z.fraction, w11 = fx * z.fraction;
  return {{place, place + slab.up, across, across + slab.up},
          {(1.0f - fx) - w01, w01, fx - w11, w11}};
}

// Channel o of N pixels side by side. Each corner's matrix first, and then their results' mean: 48
// multiply-adds for a pixel, where the mean of the matrices and one product take 57.
//
// With kKeep, what the pixel before it read is kept where the corners are the same, which in a
// photograph they are for most pixels: reading shared memory is what bounds the fused kernels.
// Where the guide is read from memory it is not, and asking costs more than it saves.
template <bool kKeep, int N>
inline void transform(const Corners* corners, const float (*in)[N], int o, float* out) {
  float4 rows[4];
  UNROLL for (int k = 0; k < N; ++k) {
    const Corners& at = corners[k];
    if (!kKeep || k == 0 || at.places[0] != corners[k - 1].places[0]) {
      UNROLL for (int i = 0; i < 4; ++i) rows[i] = shared_load4_at(at.places[i] + 16 * o);
    }
    UNROLL for (int i = 0; i < 4; ++i) {
      const float4& row = rows[i];
      const float result =
          at.weights[i] *
          (row.x * in[0][k] + (row.y * in[1][k] + (row.z * in[2][k] + row.w)));
      out[k] = i == 0 ? result : out[k] + result;
    }
  }
}

// A guide that is there.
template <typename T>
struct GivenGuide {
  static const bool kGiven = true;  // known before the colours are
  typedef typename Word<T>::type Four;
  const T* data;  // of this picture
  Strides s;
  inline Four read4(const T* row, int x) const {
    return global_load(
        reinterpret_cast<const Four*>(bytes_on(row, unsigned(x) * unsigned(sizeof(T)))));
  }
  inline void at(const float (*)[1], int y, int x, float* to) const {
    to[0] = load1(data + y * s.y + x * s.x);
  }
};

// A block's pixels, once the slab is there. Planar and interleaved pictures by four pixels side by
// side; others pixel by pixel, neighbouring threads on neighbouring pixels.
template <typename T, int kLayout, typename Guide>
inline void apply_rows(const Slab& slab, const Sizes& s, const Guide& guide, const T* image,
                       T* out, const Strides& image_s, const Strides& out_s, int x_begin,
                       int x_end, int y_begin, int y_end) {
  const Depth depth = depth_of(s.depth);
  if constexpr (kLayout != kAnyLayout) {
    const int x = x_begin + thread() * kPixels;
    if (x >= x_end) return;  // no barrier follows
    // Where a thread's pixels lie between columns is the same in all rows, and found once. Rows are
    // whole numbers of fours (cuda.py), so all four pixels are in the picture.
    Column at[kPixels];
    UNROLL for (int k = 0; k < kPixels; ++k) at[k] = column_at(slab, s, x + k);
    const T* row = image + y_begin * image_s.y;
    T* to_row = out + y_begin * out_s.y;
    const T* guide_row = nullptr;
    unsigned zero = kWhole;  // each row's slab follows the last one's
    // A row is read while the one before is worked on.
    typename Word<T>::type next[3], next_guide;
    read_words<T, kLayout>(row, image_s, x, next);
    if constexpr (Guide::kGiven) {
      guide_row = guide.data + y_begin * guide.s.y;
      next_guide = guide.read4(guide_row, x);
    }
    NO_UNROLL for (int left = y_end - y_begin; left > 0; --left) {
      float in[3][kPixels], result[3][kPixels], g[kPixels];
      unpack_words<T, kLayout>(next, in);
      if constexpr (Guide::kGiven) unpack<T>(next_guide, g);
      // Without a branch, which the compiler would make two loops of: the last row is read again.
      row += left > 1 ? image_s.y : 0;
      read_words<T, kLayout>(row, image_s, x, next);
      if constexpr (Guide::kGiven) {
        guide_row += left > 1 ? guide.s.y : 0;
        next_guide = guide.read4(guide_row, x);
      } else {
        guide.template operator()<kPixels>(in, g);
      }
      Corners corners[kPixels];
      UNROLL for (int k = 0; k < kPixels; ++k) {
        corners[k] = corners_at(slab, at[k], depth, zero, g[k]);
      }
      UNROLL for (int o = 0; o < 3; ++o) {
        transform<!Guide::kGiven>(corners, in, o, result[o]);
      }
      zero += slab.cells;
      write_pixels(to_row, out_s, kLayout, x, kPixels, result);
      to_row += out_s.y;
    }
  } else {
    NO_UNROLL for (int x = x_begin + thread(); x < x_end; x += kThreads) {
      const Column at = column_at(slab, s, x);
      unsigned zero = kWhole;
      NO_UNROLL for (int y = y_begin; y < y_end; ++y) {
        float in[3][1], result[3][1], g[1];
        const T* from = image + y * image_s.y + x * image_s.x;
        T* to = out + y * out_s.y + x * out_s.x;
        UNROLL for (int c = 0; c < 3; ++c) in[c][0] = stored(global_load(from + c * image_s.c));
        guide.at(in, y, x, g);
        const Corners corners = corners_at(slab, at, depth, zero, g[0]);
        UNROLL for (int o = 0; o < 3; ++o) transform<false>(&corners, in, o, result[o]);
        zero += slab.cells;
        UNROLL for (int c = 0; c < 3; ++c) store1(to + c * out_s.c, result[c][0]);
      }
    }
  }
}

template <typename T, int kLayout>
inline void slice_apply(const float* cells, const T* guide, const T* image, T* out,
                        const Sizes& s, const Strides& guide_s, const Strides& image_s,
                        const Strides& out_s, int block_rows) {
  const int x_begin = block_x() * kSegment, y_begin = block_y() * block_rows;
  const int x_end = x_begin + kSegment < s.width ? x_begin + kSegment : s.width;
  const int y_end = y_begin + block_rows < s.height ? y_begin + block_rows : s.height;
  const long long b = block_z();
  const Slab slab = make_slab<T>(0, cells + b * kMatrix * s.depth * s.rows * s.columns, s, x_begin,
                                 x_end, y_begin, block_rows);
  barrier();
  apply_rows<T, kLayout>(slab, s, GivenGuide<T>{guide + b * guide_s.b, guide_s},
                         image + b * image_s.b, out + b * out_s.b, image_s, out_s, x_begin, x_end,
                         y_begin, y_end);
}

// ---- any number of inputs and outputs, with or without an offset ------------------------------

struct Matrix { int inputs, outputs, offset; };

// A coefficient at a pixel: its eight cells in `grid`, which is that coefficient's [z][y][x]. Read
// from global memory for each coefficient: for grids of any size, nothing is kept in shared memory.
struct Cells {
  Tap<float> x, y, z;
  int columns, plane;
  inline float at_depth(const float* grid, int depth) const {
    const float* low = grid + (long long)depth * plane + y.low * columns;
    const float* high = grid + (long long)depth * plane + y.high * columns;
    const float a = global_load(low + x.low), b = global_load(low + x.high);
    const float c = global_load(high + x.low), d = global_load(high + x.high);
    const float top = a + x.fraction * (b - a), bottom = c + x.fraction * (d - c);
    return top + y.fraction * (bottom - top);
  }
};

inline Cells cells_at(const Sizes& s, int x, int y, float guide) {
  return {tap_at(spatial_position<float>(x, s.width, s.columns), s.columns),
          tap_at(spatial_position<float>(y, s.height, s.rows), s.rows),
          tap_at(depth_position(guide, s.depth), s.depth), s.columns, s.rows * s.columns};
}

// Which pixel of which picture a thread has; false beyond the last one.
inline bool own_pixel(const Sizes& s, int batch, int& b, int& y, int& x) {
  long long at = (long long)block_x() * kThreads + thread();
  x = int(at % s.width);
  at /= s.width;
  y = int(at % s.height);
  b = int(at / s.height);
  return b < batch;
}

template <typename T>
inline void slice_apply_any(const float* grid, const T* guide, const T* image, T* out, int batch,
                            const Matrix& m, const Sizes& s, const Strides& guide_s,
                            const Strides& image_s, const Strides& out_s) {
  int b, y, x;
  if (!own_pixel(s, batch, b, y, x)) return;
  const Cells cells = cells_at(s, x, y, load1(guide + b * guide_s.b + y * guide_s.y + x * guide_s.x));
  const int length = m.inputs + m.offset;
  const long long volume = (long long)s.depth * cells.plane;
  const float* coefficient = grid + (long long)b * m.outputs * length * volume;
  const T* pixel = image + b * image_s.b + y * image_s.y + x * image_s.x;
  NO_UNROLL for (int o = 0; o < m.outputs; ++o) {
    float sum = 0.0f;
    NO_UNROLL for (int i = 0; i < length; ++i, coefficient += volume) {
      const float low = cells.at_depth(coefficient, cells.z.low);
      const float high = cells.at_depth(coefficient, cells.z.high);
      const float value = low + cells.z.fraction * (high - low);
      sum += i < m.inputs ? value * load1(pixel + i * image_s.c) : value;
    }
    store1(out + b * out_s.b + o * out_s.c + y * out_s.y + x * out_s.x, sum);
  }
}

}  // namespace hdrbench

// Sizes and strides come one by one: what launches a kernel passes numbers and pointers.
#define SIZES int depth, int rows, int columns, int height, int width
#define STRIDES(name) \
  long long name##_b, long long name##_c, long long name##_y, long long name##_x
#define OF(name) hdrbench::Strides{name##_b, name##_c, name##_y, name##_x}

#ifdef HDRBENCH_SLICE
#define SLICE_APPLY(name, T, blocks)                                                             \
  KERNEL(128, blocks) slice_apply_##name(                                                        \
      const float* cells, const hdrbench::T* guide, const hdrbench::T* image, hdrbench::T* out,  \
      SIZES, STRIDES(guide), STRIDES(image), STRIDES(out), int block_rows, int layout) {         \
    /* A loop for each layout: no thread asks again for each row. */                             \
    const hdrbench::Sizes sizes = {depth, rows, columns, height, width};                         \
    if (layout == hdrbench::kPlanar) {                                                           \
      hdrbench::slice_apply<hdrbench::T, hdrbench::kPlanar>(                                     \
          cells, guide, image, out, sizes, OF(guide), OF(image), OF(out), block_rows);           \
    } else {                                                                                     \
      hdrbench::slice_apply<hdrbench::T, hdrbench::kAnyLayout>(                                  \
          cells, guide, image, out, sizes, OF(guide), OF(image), OF(out), block_rows);           \
    }                                                                                            \
  }                                                                                              \
  KERNEL(128, 4) slice_apply_any_##name(                                                         \
      const float* grid, const hdrbench::T* guide, const hdrbench::T* image, hdrbench::T* out,   \
      int batch, int inputs, int outputs, int offset, SIZES, STRIDES(guide), STRIDES(image),     \
      STRIDES(out)) {                                                                            \
    hdrbench::slice_apply_any(grid, guide, image, out, batch, {inputs, outputs, offset},         \
                              {depth, rows, columns, height, width}, OF(guide), OF(image),       \
                              OF(out));                                                          \
  }

// What waits for memory wants registers for it, what computes as many warps as there can be.
SLICE_APPLY(f32, Float, 4)
SLICE_APPLY(f16, Half, 6)
SLICE_APPLY(bf16, Bfloat, 6)
#endif
