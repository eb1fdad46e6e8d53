// Gradients of slice and apply: of the guide, the picture and the grid, without atomics.
//
// A block takes pixels that lie between the same four columns of the grid: kTileRows rows, kTile
// pixels of each at a time. Its threads first take a pixel after another, write the gradients of
// guide and picture, and leave in shared memory what the grid's gradient needs. Then a thread owns
// two depth planes of the twelve coefficients and sweeps the pixels of its part of a row; a pixel
// outside its planes counts with weight 0. The block's sums at the four columns go to a workspace,
// and slice_grid_sum adds them in a fixed order: the same bits in every run.
#include "slice_cuda.cu"

namespace hdrbench {

const int kTileRows = 8;
const int kTile = kSegment / kTileRows;  // pixels of a row
const int kGroups = kThreads / 4;        // of the four threads that own eight depth planes
const int kSwept = kSegment / kGroups;   // pixels of a group, all of one row
// Two fours of words a pixel, and one more. The eight groups of a warp read the same pixel of
// theirs at once: 33 fours apart, those are on the eight different fours of banks, not all on the
// same. The four threads of a group read the same word, which is sent to all of them.
const int kGroupFours = 2 * kSwept + 1;
const int kPlanes = 8;                   // depth planes of a block
const int kSums = kMatrix * kPlanes;

// Shared memory, in fours of words: the four columns [y][x][z][12], then the pixels.
inline int columns_fours(int depth) { return 4 * depth * kFours; }

// A thread for each plane of a coefficient: it copies that plane's four cells. Once a block.
inline void load_columns(const float* grid, const Sizes& s, const Tap<float>& x,
                         const Tap<float>& y) {
  const int plane_size = s.rows * s.columns;
  const float over_depth = 1.0f / float(s.depth);
  NO_UNROLL for (int plane = thread(); plane < kMatrix * s.depth; plane += kThreads) {
    const int c = int((float(plane) + 0.5f) * over_depth), z = plane - c * s.depth;
    const float* from = grid + (long long)plane * plane_size;
    UNROLL for (int corner = 0; corner < 4; ++corner) {
      const int row = corner & 2 ? y.high : y.low, column = corner & 1 ? x.high : x.low;
      shared_store((corner * s.depth + z) * kMatrix + c,
                   global_load(from + row * s.columns + column));
    }
  }
}

// Gradients of one pixel. `g` and `pixel` come in; the guide's is per cell of depth. With the four
// columns' weights w, a is the matrix at the lower plane and d its change to the upper one: the
// matrix itself is a + fz d, and its slope along the depth is d.
inline void pixel_gradients(int depth, float fx, float fy, const Tap<float>& tz, const float* g,
                            const float* pixel, float* to_pixel, float& to_guide) {
  const float w[4] = {(1.0f - fy) * (1.0f - fx), (1.0f - fy) * fx, fy * (1.0f - fx), fy * fx};
  const int low = tz.low * kFours, up = (tz.high - tz.low) * kFours;
  to_guide = 0.0f;
  UNROLL for (int i = 0; i < 3; ++i) to_pixel[i] = 0.0f;
  UNROLL for (int o = 0; o < 3; ++o) {
    float a[4] = {}, d[4] = {};  // the row at the lower plane, and what the upper one adds
    UNROLL for (int corner = 0; corner < 4; ++corner) {
      const int at = corner * depth * kFours + low + o;
      const float4 l = shared_load4(at), h = shared_load4(at + up);
      a[0] += w[corner] * l.x, a[1] += w[corner] * l.y;
      a[2] += w[corner] * l.z, a[3] += w[corner] * l.w;
      d[0] += w[corner] * h.x, d[1] += w[corner] * h.y;
      d[2] += w[corner] * h.z, d[3] += w[corner] * h.w;
    }
    UNROLL for (int i = 0; i < 4; ++i) d[i] -= a[i];
    to_guide += g[o] * (d[0] * pixel[0] + d[1] * pixel[1] + (d[2] * pixel[2] + d[3]));
    UNROLL for (int i = 0; i < 3; ++i) to_pixel[i] += g[o] * (a[i] + tz.fraction * d[i]);
  }
}

// A thread's sums: two depth planes, twelve coefficients; times the column fraction in `part`. The
// right column's gradient is `part`, the left one's `whole` less `part`. 48 registers.
struct Sums { float whole[2][kMatrix], part[2][kMatrix]; };

// Adds a group's pixels to the sums of two planes. The weight of plane i for a pixel at depth z is
// max(1 - |z - i|, 0): 0 for all but two planes, and multiplied all the same, so that every thread
// does the same work whatever the guide is.
inline void sweep(int pixels, int plane, Sums& sums) {
  NO_UNROLL for (int p = 0; p < kSwept; ++p) {
    const float4 g = shared_load4(pixels + 2 * p), in = shared_load4(pixels + 2 * p + 1);
    const float distance = g.w - float(plane);
    const float weight[2] = {fmaxf(1.0f - fabsf(distance), 0.0f),
                             fmaxf(1.0f - fabsf(distance - 1.0f), 0.0f)};
    const float part[2] = {weight[0] * in.w, weight[1] * in.w};
    const float of[3] = {g.x, g.y, g.z};
    UNROLL for (int o = 0; o < 3; ++o) {
      const float product[4] = {of[o] * in.x, of[o] * in.y, of[o] * in.z, of[o]};
      UNROLL for (int i = 0; i < 4; ++i) {
        UNROLL for (int z = 0; z < 2; ++z) {
          sums.whole[z][4 * o + i] += weight[z] * product[i];
          sums.part[z][4 * o + i] += part[z] * product[i];
        }
      }
    }
  }
}

// The groups' sums of one kind, added in the order of groups: [0] for the upper row of the grid's
// cells, [1] for the lower one. Threads under kSums have a coefficient at a depth each. All pixels
// of a group are of one row, so the weights along y come in here, once for a sum and not once a
// pixel. The sums take the place of the pixels in shared memory, hence the first barrier.
inline void add_groups(int words, int fractions, const float (*sums)[kMatrix], float* total) {
  const int group = thread() >> 2, plane = (thread() & 3) * 2;
  barrier();
  UNROLL for (int c = 0; c < kMatrix; ++c) {
    shared_store(words + group * kSums + c * kPlanes + plane, sums[0][c]);
    shared_store(words + group * kSums + c * kPlanes + plane + 1, sums[1][c]);
  }
  barrier();
  total[0] = total[1] = 0.0f;
  if (thread() >= kSums) return;
  NO_UNROLL for (int g = 0; g < kGroups; ++g) {
    const float fy = shared_load(fractions + g * kTileRows / kGroups);
    const float sum = shared_load(words + g * kSums + thread());
    total[0] += (1.0f - fy) * sum;
    total[1] += fy * sum;
  }
}

// Rows or pixels [begin, end) of a part of the interval between two cells' centres.
struct Span { int begin, end; };

// Empty where the interval is shorter than the longest one, or has no pixels at all.
inline Span span_of(int cell, int part, int length, int size, int cells) {
  const int begin = first_pixel(cell, size, cells), end = first_pixel(cell + 1, size, cells);
  const int from = begin + part * length;
  return {from < end ? from : end, from + length < end ? from + length : end};
}

template <typename T>
inline void slice_gradient(const float* grid, const T* guide, const T* image, const T* grad,
                           T* grad_guide, T* grad_image, float* workspace, const Sizes& s,
                           int x_parts, int x_length, int y_parts, int depth_parts,
                           const Strides& guide_s, const Strides& image_s,
                           const Strides& grad_s) {
  const int x_cell = block_x() / x_parts, y_cell = block_y() / y_parts;
  const Span across = span_of(x_cell, block_x() % x_parts, x_length, s.width, s.columns);
  const Span down = span_of(y_cell, block_y() % y_parts, kTileRows, s.height, s.rows);
  const long long b = block_z() / depth_parts;
  const int depth_part = block_z() % depth_parts;
  const long long block =
      ((long long)block_z() * blocks_y() + block_y()) * blocks_x() + block_x();
  float* partial = workspace + block * 4 * kSums;
  // The sum over blocks reads every block's values: where there are no pixels they are 0.
  if (across.begin >= across.end || down.begin >= down.end) {
    NO_UNROLL for (int i = thread(); i < 4 * kSums; i += kThreads) global_store(partial + i, 0.0f);
    return;
  }
  load_columns(grid + b * kMatrix * s.depth * s.rows * s.columns, s,
               tap_at(spatial_position<float>(across.begin, s.width, s.columns), s.columns),
               tap_at(spatial_position<float>(down.begin, s.height, s.rows), s.rows));
  const int fours = columns_fours(s.depth), fractions = 4 * (fours + kGroups * kGroupFours);
  // A product in place of spatial_position's division: which columns a pixel reads is settled by
  // the block it is in, only the fraction is left.
  const float x_scale = float(s.columns) / float(s.width);
  if (thread() < kTileRows) {
    const int y = down.begin + thread() < down.end ? down.begin + thread() : down.begin;
    shared_store(fractions + thread(),
                 tap_at(spatial_position<float>(y, s.height, s.rows), s.rows).fraction);
  }
  const int group = thread() >> 2;
  const long long plane = (long long)s.height * s.width;
  Sums sums = {};
  for (int tile = across.begin; tile < across.end; tile += kTile) {
    barrier();  // the columns are there, and the last tile's pixels have been swept
    NO_UNROLL for (int p = thread(); p < kSegment; p += kThreads) {
      const int row = p / kTile, y = down.begin + row, x = tile + p % kTile;
      const bool own = y < down.end && x < across.end;
      // What is not this block's counts as a pixel without gradient.
      float pixel[3] = {}, g[3] = {}, z = 0.0f, fx = 0.0f;
      if (own) {
        const T* image_at = image + b * image_s.b + y * image_s.y + x * image_s.x;
        const T* grad_at = grad + b * grad_s.b + y * grad_s.y + x * grad_s.x;
        UNROLL for (int i = 0; i < 3; ++i) {
          pixel[i] = load1(image_at + i * image_s.c);
          g[i] = load1(grad_at + i * grad_s.c);
        }
        const float raw = depth_position(
            load1(guide + b * guide_s.b + y * guide_s.y + x * guide_s.x), s.depth);
        const float fy = shared_load(fractions + row);
        z = clamp_position(raw, s.depth);
        fx = clamp_position((float(x) + 0.5f) * x_scale - 0.5f, s.columns) - float(x_cell);
        if (depth_part == 0) {  // of the blocks that take the same pixels, one writes
          float to_pixel[3], to_guide;
          pixel_gradients(s.depth, fx, fy, tap_at(raw, s.depth), g, pixel, to_pixel, to_guide);
          // Beyond the outermost centres the position is clamped: nothing changes with the guide.
          const bool inside = raw > 0.0f && raw < float(s.depth - 1);
          const long long at = (long long)y * s.width + x;
          UNROLL for (int i = 0; i < 3; ++i) {
            store1(grad_image + (3 * b + i) * plane + at, to_pixel[i]);
          }
          store1(grad_guide + b * plane + at, inside ? to_guide * float(s.depth) : 0.0f);
        }
      }
      const int at = fours + p / kSwept * kGroupFours + 2 * (p % kSwept);
      shared_store4(at, make_float4(g[0], g[1], g[2], z));
      shared_store4(at + 1, make_float4(pixel[0], pixel[1], pixel[2], fx));
    }
    barrier();
    sweep(fours + group * kGroupFours, depth_part * kPlanes + (thread() & 3) * 2, sums);
  }
  float whole[2], part[2];
  add_groups(4 * fours, fractions, sums.whole, whole);
  add_groups(4 * fours, fractions, sums.part, part);
  if (thread() >= kSums) return;
  UNROLL for (int half = 0; half < 2; ++half) {
    global_store(partial + (2 * half) * kSums + thread(), whole[half] - part[half]);
    global_store(partial + (2 * half + 1) * kSums + thread(), part[half]);
  }
}

// The blocks' sums that belong to a cell, in their order. One thread for each value of the grid's
// gradient (B, 12, D, GH, GW), depth planes first.
inline void slice_grid_sum(const float* workspace, float* grad_grid, int batch, const Sizes& s,
                           int x_parts, int y_parts, int depth_parts) {
  long long at = (long long)block_x() * kThreads + thread();
  const int z = int(at % s.depth);
  at /= s.depth;
  const int c = int(at % kMatrix);
  at /= kMatrix;
  const int x = int(at % s.columns);
  at /= s.columns;
  const int y = int(at % s.rows);
  const long long b = at / s.rows;
  if (b >= batch) return;
  const long long across = (long long)s.columns * x_parts, down = (long long)s.rows * y_parts;
  const long long block_z = b * depth_parts + z / kPlanes;
  float sum = 0.0f;
  // A cell is read by the pixels before its centre, whose blocks have it as their upper cell (half
  // 1), and by those after it, whose lower cell it is (half 0). Half 1 of the last interval belongs
  // to no cell and is not read: its fractions are 0.
  for (int half_y = 1; half_y >= 0; --half_y) {
    const int y_cell = y - half_y;
    if (y_cell < 0) continue;
    for (int half_x = 1; half_x >= 0; --half_x) {
      const int x_cell = x - half_x;
      if (x_cell < 0) continue;
      for (int j = 0; j < y_parts; ++j) {
        float row = 0.0f;  // a sum of its own, so that few are added to a large one
        for (int i = 0; i < x_parts; ++i) {
          const long long block =
              (block_z * down + y_cell * y_parts + j) * across + x_cell * x_parts + i;
          row += global_load(workspace + (block * 4 + 2 * half_y + half_x) * kSums + c * kPlanes +
                             z % kPlanes);
        }
        sum += row;
      }
    }
  }
  global_store(grad_grid + (((b * kMatrix + c) * s.depth + z) * s.rows + y) * s.columns + x, sum);
}

// ---- any shape ----------------------------------------------------------------------------------

// Gradients of guide and picture, a thread for each pixel; both results are contiguous.
template <typename T>
inline void slice_gradient_any(const float* grid, const T* guide, const T* image, const T* grad,
                               T* grad_guide, T* grad_image, int batch, const Matrix& m,
                               const Sizes& s, const Strides& guide_s, const Strides& image_s,
                               const Strides& grad_s) {
  int b, y, x;
  if (!own_pixel(s, batch, b, y, x)) return;
  const float value = load1(guide + b * guide_s.b + y * guide_s.y + x * guide_s.x);
  const Cells cells = cells_at(s, x, y, value);
  const float raw = depth_position(value, s.depth);
  const bool inside = raw > 0.0f && raw < float(s.depth - 1);
  const int length = m.inputs + m.offset;
  const long long volume = (long long)s.depth * cells.plane;
  const float* coefficients = grid + (long long)b * m.outputs * length * volume;
  const T* pixel = image + b * image_s.b + y * image_s.y + x * image_s.x;
  const T* g = grad + b * grad_s.b + y * grad_s.y + x * grad_s.x;
  float to_guide = 0.0f;
  NO_UNROLL for (int i = 0; i < length; ++i) {
    const float in = i < m.inputs ? load1(pixel + i * image_s.c) : 1.0f;
    float to_pixel = 0.0f;
    NO_UNROLL for (int o = 0; o < m.outputs; ++o) {
      const float* coefficient = coefficients + (long long)(o * length + i) * volume;
      const float low = cells.at_depth(coefficient, cells.z.low);
      const float step = cells.at_depth(coefficient, cells.z.high) - low;
      const float go = load1(g + o * grad_s.c);
      to_pixel += go * (low + cells.z.fraction * step);
      to_guide += go * in * step;
    }
    if (i < m.inputs) {
      store1(grad_image + (((long long)b * m.inputs + i) * s.height + y) * s.width + x, to_pixel);
    }
  }
  store1(grad_guide + ((long long)b * s.height + y) * s.width + x,
         inside ? to_guide * float(s.depth) : 0.0f);
}

// How much of a cell a tap reads.
inline float share(const Tap<float>& tap, int cell) {
  if (tap.low == cell) return 1.0f - tap.fraction;
  return tap.high == cell ? tap.fraction : 0.0f;
}

// The block's values added in a fixed order; thread 0 has the sum. Once in a kernel: it takes the
// first words of shared memory as they are.
inline float add_threads(float value) {
  shared_store(thread(), value);
  for (int half = kThreads / 2; half > 0; half /= 2) {
    barrier();
    if (thread() < half) {
      shared_store(thread(), shared_load(thread()) + shared_load(thread() + half));
    }
  }
  return thread() == 0 ? shared_load(0) : 0.0f;
}

// Gradient of the grid: a block for each of its values, over the pixels that read it. Every value
// reads its pixels again, so it is slow, and needs no memory beside the result.
template <typename T>
inline void slice_grid_gradient_any(const T* guide, const T* image, const T* grad,
                                    float* grad_grid, const Matrix& m, const Sizes& s,
                                    const Strides& guide_s, const Strides& image_s,
                                    const Strides& grad_s) {
  const int length = m.inputs + m.offset;
  int at = block_x();
  const int x_cell = at % s.columns;
  at /= s.columns;
  const int y_cell = at % s.rows;
  at /= s.rows;
  const int z_cell = at % s.depth;
  at /= s.depth;
  const int i = at % length;
  at /= length;
  const int o = at % m.outputs;
  const long long b = at / m.outputs;
  const int left = first_pixel(x_cell - 1, s.width, s.columns);
  const int right = first_pixel(x_cell + 1, s.width, s.columns);
  const int top = first_pixel(y_cell - 1, s.height, s.rows);
  const int bottom = first_pixel(y_cell + 1, s.height, s.rows);
  const long long across = right - left, pixels = across * (bottom - top);
  float sum = 0.0f, part = 0.0f;  // of up to 256 pixels, so that few are added to a large sum
  int count = 0;
  NO_UNROLL for (long long p = thread(); p < pixels; p += kThreads) {
    const int y = top + int(p / across), x = left + int(p % across);
    const float value = load1(guide + b * guide_s.b + y * guide_s.y + x * guide_s.x);
    const Cells cells = cells_at(s, x, y, value);
    const float weight =
        share(cells.x, x_cell) * share(cells.y, y_cell) * share(cells.z, z_cell);
    const float in =
        i < m.inputs ? load1(image + b * image_s.b + i * image_s.c + y * image_s.y + x * image_s.x)
                     : 1.0f;
    part += weight * in * load1(grad + b * grad_s.b + o * grad_s.c + y * grad_s.y + x * grad_s.x);
    if (++count % 256 == 0) {
      sum += part;
      part = 0.0f;
    }
  }
  sum = add_threads(sum + part);
  if (thread() == 0) global_store(grad_grid + block_x(), sum);
}

}  // namespace hdrbench

#define SLICE_GRADIENT(name, T)                                                                  \
  KERNEL(128, 3) slice_gradient_##name(                                                          \
      const float* grid, const hdrbench::T* guide, const hdrbench::T* image,                     \
      const hdrbench::T* grad, hdrbench::T* grad_guide, hdrbench::T* grad_image,                 \
      float* workspace, SIZES, int x_parts, int x_length, int y_parts, int depth_parts,          \
      STRIDES(guide), STRIDES(image), STRIDES(grad)) {                                           \
    hdrbench::slice_gradient(grid, guide, image, grad, grad_guide, grad_image, workspace,        \
                             {depth, rows, columns, height, width}, x_parts, x_length, y_parts,  \
                             depth_parts, OF(guide), OF(image), OF(grad));                       \
  }                                                                                              \
  KERNEL(128, 4) slice_gradient_any_##name(                                                      \
      const float* grid, const hdrbench::T* guide, const hdrbench::T* image,                     \
      const hdrbench::T* grad, hdrbench::T* grad_guide, hdrbench::T* grad_image, int batch,      \
      int inputs, int outputs, int offset, SIZES, STRIDES(guide), STRIDES(image),                \
      STRIDES(grad)) {                                                                           \
    hdrbench::slice_gradient_any(grid, guide, image, grad, grad_guide, grad_image, batch,        \
                                 {inputs, outputs, offset},                                      \
                                 {depth, rows, columns, height, width}, OF(guide), OF(image),    \
                                 OF(grad));                                                      \
  }                                                                                              \
  KERNEL(128, 4) slice_grid_gradient_any_##name(                                                 \
      const hdrbench::T* guide, const hdrbench::T* image, const hdrbench::T* grad,               \
      float* grad_grid, int inputs, int outputs, int offset, SIZES, STRIDES(guide),              \
      STRIDES(image), STRIDES(grad)) {                                                           \
    hdrbench::slice_grid_gradient_any(guide, image, grad, grad_grid, {inputs, outputs, offset},  \
                                      {depth, rows, columns, height, width}, OF(guide),          \
                                      OF(image), OF(grad));                                      \
  }

SLICE_GRADIENT(f32, Float)
SLICE_GRADIENT(f16, Half)
SLICE_GRADIENT(bf16, Bfloat)

KERNEL(128, 8) slice_grid_sum(const float* workspace, float* grad_grid, int batch, SIZES,
                              int x_parts, int y_parts, int depth_parts) {
  hdrbench::slice_grid_sum(workspace, grad_grid, batch, {depth, rows, columns, height, width},
                           x_parts, y_parts, depth_parts);
}
