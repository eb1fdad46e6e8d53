// Gradients of slice and apply: of the guide, the picture and the grid, without atomics.
//
// A block takes pixels that lie between the same four columns of the grid, a tile of some rows at a
// time. For each row it first interpolates the two columns on either side along y, as the forward
// kernel does. Its threads then take a pixel after another, write the gradients of guide and
// picture, and leave in shared memory what the grid's gradient needs. Then a thread owns two depth
// planes of the twelve coefficients and sweeps the pixels of its part of a row; a pixel outside its
// planes counts with weight 0. The block's sums at the four columns go to a workspace, and
// slice_grid_sum adds them in a fixed order: the same bits in every run.
#include "slice_cuda.cu"

namespace hdrbench {

const int kGroupBits = 5;
const int kGroups = 1 << kGroupBits;  // of the four threads that own eight depth planes
const int kPlanes = 8;             // depth planes of a block
const int kSums = kMatrix * kPlanes;
const int kAtOnce = 8;  // blocks' sums that a thread of slice_grid_sum reads before it adds them

// Cells' centres divide a row of pixels into `cells` + 1 intervals: before the first centre,
// between two of them, after the last. Interval i lies between the centres of cells i - 1 and i,
// and none is longer than a cell. The first pixel of an interval:
inline int interval_begin(int interval, int size, int cells) {
  if (interval <= 0) return 0;
  if (interval > cells) return size;
  const float centre = float(interval - 1);
  // The inverse of spatial_position, two pixels early for its rounding. From there on the very
  // expression that a pixel is placed by decides, so that no pixel is in two intervals or in none.
  int index = int((centre + 0.5f) * float(size) / float(cells) - 0.5f) - 2;
  index = index < 0 ? 0 : (index > size ? size : index);
  while (index < size && spatial_position<float>(index, size, cells) < centre) ++index;
  return index;
}

// Rows or pixels [begin, end) of a part of an interval; empty where the interval is shorter than
// the longest one, or has no pixels at all.
struct Span { int begin, end; };

inline Span span_of(int begin, int end, int part, int length) {
  const int from = begin + part * length;
  return {from < end ? from : end, from + length < end ? from + length : end};
}

// A tile of pixels: 1 << `row_bits` rows of 1 << `bits`. Its pixels are a multiple of the threads,
// no row is longer than they are many, and a group's part of the pixels is of one row.
struct Tile {
  int row_bits, bits;
  inline int rows() const { return 1 << row_bits; }
  inline int width() const { return 1 << bits; }
  inline int swept_bits() const { return row_bits + bits - kGroupBits; }  // pixels of a group
};

// Shared memory, in fours of words: where the block's intervals begin and end, the rows' fractions,
// the slab, the pixels.
struct Shared {
  int slab, pixels, group;  // where they begin; from one group's pixels to the next's
  inline Shared(int depth, const Tile& tile) {
    slab = 1 + (tile.rows() + 3) / 4;
    pixels = slab + tile.rows() * 2 * depth * kFours;
    // Two fours of words a pixel, and one more. The eight groups of a warp read the same pixel of
    // theirs at once: an odd number of fours apart, those are on the eight different fours of
    // banks, not all on the same. The four threads of a group read the same word, which is sent to
    // all of them.
    group = (2 << tile.swept_bits()) + 1;
  }
};

// The two columns at either side of the block's pixels, interpolated along y for each of its rows:
// [row][x][z][12]. A thread for each plane of a coefficient at a column. Once a block.
inline void make_row_slab(int words, const float* grid, const Sizes& s, int x_interval,
                          int y_interval, int rows) {
  // The cells on either side of an interval; the first one and the last one have one side alone.
  const int left = x_interval > 0 ? x_interval - 1 : 0;
  const int right = x_interval < s.columns ? x_interval : s.columns - 1;
  const int above = (y_interval > 0 ? y_interval - 1 : 0) * s.columns;
  const int below = (y_interval < s.rows ? y_interval : s.rows - 1) * s.columns;
  const int plane_size = s.rows * s.columns, planes = kMatrix * s.depth;
  const float over_depth = 1.0f / float(s.depth);
  NO_UNROLL for (int i = thread(); i < 2 * planes; i += kThreads) {
    const int x = i >= planes, plane = x ? i - planes : i;
    // plane / depth, as in slice_cuda.cu.
    const int c = int((float(plane) + 0.5f) * over_depth), z = plane - c * s.depth;
    const float* from = grid + (long long)plane * plane_size + (x ? right : left);
    const float low = global_load(from + above);
    const float step = global_load(from + below) - low;
    int to = words + (x * s.depth + z) * kMatrix + c;
    _Pragma("unroll 4") for (int r = 0; r < rows; ++r, to += 2 * planes) {
      shared_store(to, low + shared_load(4 + r) * step);
    }
  }
}

// Gradients of one pixel. `g` and `pixel` come in; the guide's is per cell of depth. `at` is the
// left column of its row, in fours. What the gradients of the output are multiplied with is linear
// in the corners, so each corner is multiplied with them first: four values a corner stay of
// twelve.
inline void pixel_gradients(int at, int depth, float fx, float z, const float* g,
                            const float* pixel, float* to_pixel, float& to_guide) {
  const int plane = int(z), low = at + plane * kFours, up = plane + 1 < depth ? kFours : 0;
  float a[4] = {}, d[4] = {};  // at the lower plane, and at the upper one
  UNROLL for (int o = 0; o < 3; ++o) {
    const float right = fx * g[o], left = g[o] - right;
    UNROLL for (int x = 0; x < 2; ++x) {
      const float w = x ? right : left;
      const float4 l = shared_load4(low + x * depth * kFours + o);
      const float4 h = shared_load4(low + x * depth * kFours + up + o);
      a[0] += w * l.x, a[1] += w * l.y, a[2] += w * l.z, a[3] += w * l.w;
      d[0] += w * h.x, d[1] += w * h.y, d[2] += w * h.z, d[3] += w * h.w;
    }
  }
  UNROLL for (int i = 0; i < 4; ++i) d[i] -= a[i];
  to_guide = d[0] * pixel[0] + d[1] * pixel[1] + (d[2] * pixel[2] + d[3]);
  UNROLL for (int i = 0; i < 3; ++i) to_pixel[i] = a[i] + (z - float(plane)) * d[i];
}

// A thread's sums: two depth planes, twelve coefficients; times the column fraction in `part`. The
// right column's gradient is `part`, the left one's `whole` less `part`. 48 registers.
struct Sums { float whole[2][kMatrix], part[2][kMatrix]; };

// Adds a group's pixels to the sums of two planes. The weight of plane i for a pixel at depth z is
// max(1 - |z - i|, 0): 0 for all but two planes, and multiplied all the same, so that every thread
// does the same work whatever the guide is.
inline void sweep(int pixels, int count, int plane, Sums& sums) {
  _Pragma("unroll 4") for (int p = 0; p < count; ++p) {
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

// The groups' sums, added in the order of groups: threads under kSums have a coefficient at a depth
// each, [z][12]. `down` is what falls to the grid's row after, of all of it. All pixels of a group
// are of one row, so the fractions along y come in here, once for a sum and not once a pixel. The
// sums take the place of slab and pixels in shared memory, hence the first barrier. One four more a
// group keeps eight threads that write fours of words on different banks.
const int kGroupSums = 2 * kPlanes * kFours + 1;
inline void add_groups(int fours, int row_bits, const Sums& sums, float* all, float* down) {
  barrier();
  UNROLL for (int z = 0; z < 2; ++z) {
    int to = fours + (thread() >> 2) * kGroupSums + ((thread() & 3) * 2 + z) * kFours;
    UNROLL for (int part = 0; part < 2; ++part, to += kPlanes * kFours) {
      const float* of = part ? sums.part[z] : sums.whole[z];
      UNROLL for (int o = 0; o < kFours; ++o) {
        shared_store4(to + o,
                      make_float4(of[4 * o], of[4 * o + 1], of[4 * o + 2], of[4 * o + 3]));
      }
    }
  }
  barrier();
  UNROLL for (int part = 0; part < 2; ++part) all[part] = down[part] = 0.0f;
  if (thread() >= kSums) return;
  _Pragma("unroll 4") for (int g = 0; g < kGroups; ++g) {
    const float fy = shared_load(4 + (g >> (kGroupBits - row_bits)));
    UNROLL for (int part = 0; part < 2; ++part) {
      const float sum = shared_load(4 * (fours + g * kGroupSums) + part * kSums + thread());
      all[part] += sum;
      down[part] += fy * sum;
    }
  }
}

// One pixel as it lies in memory: read long before it is needed, so nothing is made of it yet.
template <typename T>
struct Raw { T guide, image[3], grad[3]; };

// Three planes, and the element of each that a pixel is; a picture's pixels are less than 2^31
// elements apart (cuda.py).
template <typename T>
struct Planes {
  T* plane[3];
  inline Planes(T* first, long long stride) {
    UNROLL for (int i = 0; i < 3; ++i) plane[i] = first + i * stride;
  }
};

template <typename T>
inline void slice_gradient(const float* grid, const T* guide, const T* image, const T* grad,
                           T* grad_guide, T* grad_image, float* workspace, const Sizes& s,
                           int x_parts, int x_length, int y_parts, const Tile& tile,
                           int depth_parts, const Strides& guide_s, const Strides& image_s,
                           const Strides& grad_s) {
  const int x_interval = block_x() / x_parts, y_interval = block_y() / y_parts;
  if (thread() < 4) {  // a search each
    const bool x = thread() < 2;
    shared_store(thread(), bits_to_float(interval_begin(
                               (x ? x_interval : y_interval) + (thread() & 1),
                               x ? s.width : s.height, x ? s.columns : s.rows)));
  }
  barrier();
  int ends[4];
  UNROLL for (int i = 0; i < 4; ++i) ends[i] = int(float_to_bits(shared_load(i)));
  const Span across = span_of(ends[0], ends[1], block_x() % x_parts, x_length);
  const Span down = span_of(ends[2], ends[3], block_y() % y_parts, tile.rows());
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
  // The fraction is counted from the centre of the cell before, which the first interval has not:
  // there the fraction is 1, and all falls to the cell after.
  const float x_before = float(x_interval - 1), y_before = float(y_interval - 1);
  if (thread() < tile.rows()) {
    const int y = down.begin + thread() < down.end ? down.begin + thread() : down.begin;
    const float position = spatial_position<float>(y, s.height, s.rows);
    shared_store(4 + thread(), clamp_position(position, s.rows) - y_before);
  }
  barrier();
  const Shared shared(s.depth, tile);
  make_row_slab(4 * shared.slab, grid + b * kMatrix * s.depth * s.rows * s.columns, s, x_interval,
                y_interval, tile.rows());
  // A product in place of spatial_position's division: which columns a pixel reads is settled by
  // the block it is in, only the fraction is left.
  const float x_scale = float(s.columns) / float(s.width), last = float(s.depth - 1);
  const long long plane = (long long)s.height * s.width;
  const T* guides = guide + b * guide_s.b;
  const Planes<const T> images(image + b * image_s.b, image_s.c);
  const Planes<const T> grads(grad + b * grad_s.b, grad_s.c);
  const Planes<T> to_images(grad_image + 3 * b * plane, plane);
  T* to_guides = grad_guide + b * plane;
  // A thread stays in its column of the tile and goes down it, `step` rows at a time.
  const int row = thread() >> tile.bits, step = kThreads >> tile.bits;
  const int height = down.end - down.begin, y = down.begin + row;
  const int swept_bits = tile.swept_bits(), pixels = 1 << (swept_bits + kGroupBits);
  const int own = shared.pixels + (thread() >> swept_bits) * shared.group +
                  2 * (thread() & ((1 << swept_bits) - 1));
  const int slab_step = 2 * s.depth * kFours;
  int x = across.begin + (thread() & (tile.width() - 1));
  Raw<T> next = {};
  const auto read = [&](int guide_at, int image_at, int grad_at) {
    next.guide = global_load(guides + guide_at);
    UNROLL for (int i = 0; i < 3; ++i) next.image[i] = global_load(images.plane[i] + image_at);
    UNROLL for (int i = 0; i < 3; ++i) next.grad[i] = global_load(grads.plane[i] + grad_at);
  };
  const int guide_y = int(guide_s.y), image_y = int(image_s.y), grad_y = int(grad_s.y);
  const int guide_x = int(guide_s.x), image_x = int(image_s.x), grad_x = int(grad_s.x);
  int guide_at = y * guide_y + x * guide_x, image_at = y * image_y + x * image_x;
  int grad_at = y * grad_y + x * grad_x;
  if (row < height && x < across.end) read(guide_at, image_at, grad_at);
  Sums sums = {};
  for (int begin = across.begin; begin < across.end; begin += tile.width()) {
    barrier();  // the slab is there, and the last tile's pixels have been swept
    const float fx = fminf(fmaxf((float(x) + 0.5f) * x_scale - 0.5f, 0.0f), float(s.columns - 1)) -
                     x_before;
    // Rows of this thread's column that are its block's.
    const int rows = x < across.end ? height : 0;
    int slab = shared.slab + row * slab_step, to = own, at = y * s.width + x;
    int guide_next = guide_at, image_next = image_at, grad_next = grad_at;
    NO_UNROLL for (int p = row; p < tile.rows(); p += step) {
      const Raw<T> raw = next;
      // The next pixel is on its way while this one is worked on.
      guide_next += step * guide_y, image_next += step * image_y, grad_next += step * grad_y;
      if (p + step < rows) read(guide_next, image_next, grad_next);
      float pixel[3], g[3];
      UNROLL for (int i = 0; i < 3; ++i) {
        pixel[i] = to_float(raw.image[i]);
        g[i] = to_float(raw.grad[i]);
      }
      const float position = depth_position(to_float(raw.guide), s.depth);
      const float z = fminf(fmaxf(position, 0.0f), last);  // 0 for a NaN
      if (p < rows && depth_part == 0) {  // of the blocks that take the same pixels, one writes
        float to_pixel[3], to_guide;
        pixel_gradients(slab, s.depth, fx, z, g, pixel, to_pixel, to_guide);
        UNROLL for (int i = 0; i < 3; ++i) store1(to_images.plane[i] + at, to_pixel[i]);
        // Beyond the outermost centres the position is clamped: nothing changes with the guide.
        const bool inside = position > 0.0f && position < last;
        store1(to_guides + at, inside ? to_guide * float(s.depth) : 0.0f);
      }
      // What is not this block's is some pixel of it again, out of the reach of every plane.
      shared_store4(to, make_float4(g[0], g[1], g[2], p < rows ? z : -2.0f));
      shared_store4(to + 1, make_float4(pixel[0], pixel[1], pixel[2], fx));
      slab += step * slab_step, at += step * s.width;
      to += (kThreads >> swept_bits) * shared.group;
    }
    x += tile.width();
    guide_at += tile.width() * guide_x, image_at += tile.width() * image_x;
    grad_at += tile.width() * grad_x;
    if (row < height && x < across.end) read(guide_at, image_at, grad_at);
    barrier();
    sweep(shared.pixels + (thread() >> 2) * shared.group, 1 << swept_bits,
          depth_part * kPlanes + (thread() & 3) * 2, sums);
  }
  float all[2], down_part[2];  // of the gradient, and of that times the column fraction
  add_groups(shared.slab, tile.row_bits, sums, all, down_part);
  if (thread() >= kSums) return;
  UNROLL for (int half = 0; half < 2; ++half) {
    const float row[2] = {half ? down_part[0] : all[0] - down_part[0],
                          half ? down_part[1] : all[1] - down_part[1]};
    global_store(partial + (2 * half) * kSums + thread(), row[0] - row[1]);
    global_store(partial + (2 * half + 1) * kSums + thread(), row[1]);
  }
}

// The blocks' sums that belong to a cell, in their order. One thread for each value of the grid's
// gradient (B, 12, D, GH, GW), coefficients first.
inline void slice_grid_sum(const float* workspace, float* grad_grid, int batch, const Sizes& s,
                           int x_parts, int y_parts, int depth_parts) {
  long long at = (long long)block_x() * kThreads + thread();
  const int c = int(at % kMatrix);
  at /= kMatrix;
  const int z = int(at % s.depth);
  at /= s.depth;
  const int x = int(at % s.columns);
  at /= s.columns;
  const int y = int(at % s.rows);
  const long long b = at / s.rows;
  if (b >= batch) return;
  const long long across = (s.columns + 1LL) * x_parts, down = (s.rows + 1LL) * y_parts;
  const long long block_z = b * depth_parts + z / kPlanes;
  float sum = 0.0f;
  // Cell x is read by interval x, before its centre, as the cell after (half 1), and by interval
  // x + 1 as the cell before (half 0).
  const int parts = x_parts * y_parts;
  for (int half_y = 1; half_y >= 0; --half_y) {
    for (int half_x = 1; half_x >= 0; --half_x) {
      const int x_interval = x + 1 - half_x, y_interval = y + 1 - half_y;
      const long long first =
          (block_z * down + y_interval * y_parts) * across + x_interval * x_parts;
      const float* from = workspace + (first * 4 + 2 * half_y + half_x) * kSums +
                          z % kPlanes * kMatrix + c;
      // Several are asked for before the first is there, and added to a sum of their own, so that
      // few are added to a large one.
      int i = 0;
      NO_UNROLL for (int part = 0; part < parts; part += kAtOnce) {
        float value[kAtOnce], few = 0.0f;
        UNROLL for (int k = 0; k < kAtOnce; ++k) {
          value[k] = part + k < parts ? global_load(from) : 0.0f;
          i = i + 1 < x_parts ? i + 1 : 0;
          from += (i ? 1 : across - x_parts + 1) * 4 * kSums;
        }
        UNROLL for (int k = 0; k < kAtOnce; ++k) few += value[k];
        sum += few;
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
      float* workspace, SIZES, int x_parts, int x_length, int y_parts, int tile_row_bits,        \
      int tile_bits, int depth_parts, STRIDES(guide), STRIDES(image), STRIDES(grad)) {           \
    hdrbench::slice_gradient(grid, guide, image, grad, grad_guide, grad_image, workspace,        \
                             {depth, rows, columns, height, width}, x_parts, x_length, y_parts,  \
                             {tile_row_bits, tile_bits}, depth_parts, OF(guide), OF(image),      \
                             OF(grad));                                                          \
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
