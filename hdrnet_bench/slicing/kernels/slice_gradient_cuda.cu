// Gradients of slice and apply: of the guide, the picture and the grid, without atomics.
//
// A block takes some rows of the pixels that lie between the same four columns of the grid. For
// each row it first interpolates the two columns on either side along y, as the forward kernel
// does. Then every warp goes along rows of its own, a strip of 32 pixels at a time: each lane takes
// a pixel, writes its gradients of guide and picture, and leaves in shared memory what the grid's
// gradient needs. That gradient is a product of matrices, the pixels' depth weights (with and
// without the column fraction) times gradient x colour, which the warp adds up for its strip; a
// pixel outside a plane counts with weight 0. The block's sums at the four columns go to a
// workspace, and slice_grid_sum adds them in a fixed order: the same bits in every run.
#include "slice_cuda.cu"

namespace hdrbench {

const int kWarps = kThreads / 32;
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
  // Two pixels early, as first_pixel of slice.h, whose intervals begin at other places.
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

// Shared memory, in fours of words: where the block's intervals begin and end and the rows'
// fractions; the slab; two strips of every warp, so that one is written while the other is read.
const int kStripFours = 2 * 32;  // two of a pixel
struct Shared {
  int slab, strips;
  inline Shared(int depth, int rows) {
    slab = 1 + (rows + 3) / 4;
    strips = slab + rows * 2 * depth * kFours;
  }
};

// The two columns at either side of the block's pixels, interpolated along y for each of its rows:
// [row][x][z][12] from `base` on, in fours. A thread for every other row of four words. Once a
// block.
inline void make_row_slab(int base, const float* cells, const Sizes& s, int x_interval,
                          int y_interval, int rows) {
  // The cells on either side of an interval; the first one and the last one have one side alone.
  const int left = x_interval > 0 ? x_interval - 1 : 0;
  const int right = x_interval < s.columns ? x_interval : s.columns - 1;
  const int above = (y_interval > 0 ? y_interval - 1 : 0) * s.columns;
  const int below = (y_interval < s.rows ? y_interval : s.rows - 1) * s.columns;
  const int column = s.depth * kFours, row = 2 * column;
  NO_UNROLL for (int i = thread(); i < 2 * row; i += kThreads) {
    const int odd = i >= row, four = i - odd * row, x = four >= column;
    const float4* from = reinterpret_cast<const float4*>(cells) + four - x * column;
    const float4 low = global_load(from + (above + (x ? right : left)) * column);
    const float4 change = less4(global_load(from + (below + (x ? right : left)) * column), low);
    UNROLL_4 for (int r = odd; r < rows; r += 2) {
      shared_store4(base + r * row + four, plus4(low, shared_load(4 + r), change));
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

// Eight depth planes, and they again times the column fraction, by twelve coefficients and four
// columns that are nothing: what a lane has of it (device.h), in two halves of eight columns.
struct Sums { float of[2][4]; };

// Sixteen pixels of a strip from `first` on, eight at a time. A pixel has the four words
// {g0, g2, g1, z} at `strip` and {r, g, b, 1} 32 fours later. Its weight for plane i is
// max(1 - |z - i|, 0), 0 for all but two planes. `fx` is the column fraction of pixel lane % 4, and
// `slope` what it grows by from a pixel to the next.
inline void add_pixels(int strip, int first, int plane, float fx, float slope, Sums& sums) {
  const int q = thread() & 3, r = (thread() & 31) >> 2;
  UNROLL for (int step = 0; step < 2; ++step) {
    float weights[4], products[2][2];
    UNROLL for (int k = 0; k < 2; ++k) {
      const int at = 4 * (strip + first + 8 * step + 4 * k + q);
      const float distance = shared_load(at + 3) - float(plane + r);
      weights[2 * k] = saturate(1.0f - fabsf(distance));
      weights[2 * k + 1] = weights[2 * k] * (fx + float(8 * step + 4 * k) * slope);
      const float in = shared_load(at + 4 * 32 + (r & 3));
      // The lanes under 16 have outputs 0 and 2, the others 1 and none.
      products[0][k] = shared_load(at + 2 * (r >> 2)) * in;
      products[1][k] = shared_load(at + 2 * (r >> 2) + 1) * in;
    }
    UNROLL for (int half = 0; half < 2; ++half) {
      multiply_add(sums.of[half], weights, products[half]);
    }
  }
}

// The warps' sums, added in the order of warps: threads under kSums have a coefficient at a depth
// each, [z][12], of the sums and of them times the column fraction. They take the place of slab and
// strips in shared memory, hence the first barrier.
const int kSumsRow = 20;  // words: 16, and some more to be on other banks
const int kWarpSums = 16 * kSumsRow;
inline void add_warps(int words, const Sums& sums, const Sums& down, float (*total)[2]) {
  const int q = thread() & 3, r = (thread() & 31) >> 2, warp = thread() >> 5;
  barrier();
  UNROLL for (int kind = 0; kind < 2; ++kind) {
    UNROLL for (int half = 0; half < 2; ++half) {
      const float* of = kind ? down.of[half] : sums.of[half];
      UNROLL for (int i = 0; i < 4; ++i) {
        shared_store(words + (2 * warp + kind) * kWarpSums + (r + 8 * (i >> 1)) * kSumsRow +
                         8 * half + 2 * q + (i & 1),
                     of[i]);
      }
    }
  }
  barrier();
  if (thread() >= kSums) return;
  const int z = thread() / kMatrix, at = words + z * kSumsRow + thread() - z * kMatrix;
  UNROLL for (int kind = 0; kind < 2; ++kind) {
    UNROLL for (int part = 0; part < 2; ++part) {
      float sum = 0.0f;
      UNROLL for (int w = 0; w < kWarps; ++w) {
        sum += shared_load(at + (2 * w + kind) * kWarpSums + 8 * part * kSumsRow);
      }
      total[kind][part] = sum;
    }
  }
}

// One pixel as it lies in memory: read long before it is needed, so nothing is made of it yet.
template <typename T>
struct Raw { T guide, image[3], grad[3]; };

template <typename T>
inline void slice_gradient(const float* cells, const T* guide, const T* image, const T* grad,
                           T* grad_guide, T* grad_image, float* workspace, const Sizes& s,
                           int x_parts, int x_length, int y_parts, int block_rows, int bits,
                           int depth_parts, const Strides& guide_s, const Strides& image_s,
                           const Strides& grad_s) {
  const int x_interval = block_x() / x_parts, y_part = block_y() % y_parts;
  const int y_all = block_y() / y_parts, depth_part = y_all / (s.rows + 1);
  const int y_interval = y_all - depth_part * (s.rows + 1);
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
  const Span down = span_of(ends[2], ends[3], y_part, block_rows);
  const long long b = block_z();
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
  if (thread() < block_rows) {
    const int y = down.begin + thread() < down.end ? down.begin + thread() : down.begin;
    const float position = spatial_position<float>(y, s.height, s.rows);
    shared_store(4 + thread(), clamp_position(position, s.rows) - y_before);
  }
  // A strip is 32 pixels of a row or 16 of two, a lane for each.
  const int lane = thread() & 31, warp = thread() >> 5, width = 1 << bits, rows = 32 >> bits;
  const int column = lane & (width - 1), step = kWarps * rows, first_row = warp * rows;
  const int height = down.end - down.begin;
  const long long plane = (long long)s.height * s.width;
  const T* guides = guide + b * guide_s.b;
  const T* images = image + b * image_s.b;
  const T* grads = grad + b * grad_s.b;
  T* to_images = grad_image + 3 * b * plane;
  T* to_guides = grad_guide + b * plane;
  // Steps in bytes.
  const unsigned size = sizeof(T), guide_y = guide_s.y * size, image_y = image_s.y * size;
  const unsigned grad_y = grad_s.y * size, at_y = s.width * size, guide_x = guide_s.x * size;
  const unsigned image_x = image_s.x * size, grad_x = grad_s.x * size;
  int row = first_row + (lane >> bits), y = down.begin + row, x = across.begin + column;
  unsigned guide_row = y * guide_y + x * guide_x, image_row = y * image_y + x * image_x;
  unsigned grad_row = y * grad_y + x * grad_x, at_row = y * at_y + x * size;
  Raw<T> next = {};
  const auto read = [&](unsigned guide_at, unsigned image_at, unsigned grad_at) {
    next.guide = global_load(bytes_on(guides, guide_at));
    UNROLL for (int i = 0; i < 3; ++i) {
      next.image[i] = global_load(bytes_on(images + i * image_s.c, image_at));
    }
    UNROLL for (int i = 0; i < 3; ++i) {
      next.grad[i] = global_load(bytes_on(grads + i * grad_s.c, grad_at));
    }
  };
  if (row < height && x < across.end) read(guide_row, image_row, grad_row);
  barrier();
  const Shared shared(s.depth, block_rows);
  make_row_slab(shared.slab, cells + b * kMatrix * s.depth * s.rows * s.columns, s, x_interval,
                y_interval, block_rows);
  barrier();
  // A product in place of spatial_position's division: which columns a pixel reads is settled by
  // the block it is in, only the fraction is left.
  const float x_scale = float(s.columns) / float(s.width), last = float(s.depth - 1);
  const float slope = x_interval > 0 && x_interval < s.columns ? x_scale : 0.0f;
  const auto fraction = [&](int at) {
    const float position = (float(at) + 0.5f) * x_scale - 0.5f;
    return fminf(fmaxf(position, 0.0f), float(s.columns - 1)) - x_before;
  };
  const int slab_step = 2 * s.depth * kFours, p_plane = depth_part * kPlanes;
  int strip = shared.strips + warp * 2 * kStripFours;
  const int other = 2 * strip + kStripFours;  // the sum of the places of both strips
  Sums sums = {}, sums_down = {};
  NO_UNROLL for (int top = first_row; top < block_rows; top += step, row += step) {
    Sums of_row[2] = {};
    unsigned guide_at = guide_row, image_at = image_row, grad_at = grad_row, at = at_row;
    guide_row += step * guide_y, image_row += step * image_y, grad_row += step * grad_y;
    at_row += step * at_y;
    const int slab = shared.slab + row * slab_step;
    NO_UNROLL for (int begin = across.begin; begin < across.end; begin += width) {
      const int x = begin + column;
      const Raw<T> raw = next;
      // The next pixel is on its way while this one is worked on.
      guide_at += width * guide_x, image_at += width * image_x, grad_at += width * grad_x;
      int next_x = x + width, next_row = row;
      if (begin + width >= across.end) {
        guide_at = guide_row, image_at = image_row, grad_at = grad_row;
        next_x = across.begin + column, next_row = row + step;
      }
      if (next_row < height && next_row < block_rows && next_x < across.end) {
        read(guide_at, image_at, grad_at);
      }
      float pixel[3], g[3];
      UNROLL for (int i = 0; i < 3; ++i) {
        pixel[i] = to_float(raw.image[i]);
        g[i] = to_float(raw.grad[i]);
      }
      const float position = depth_position(to_float(raw.guide), s.depth);
      const float z = fminf(fmaxf(position, 0.0f), last);  // 0 for a NaN
      const bool own = row < height && x < across.end;
      if (own && depth_part == 0) {  // of the blocks that take the same pixels, one writes
        float to_pixel[3], to_guide;
        pixel_gradients(slab, s.depth, fraction(x), z, g, pixel, to_pixel, to_guide);
        UNROLL for (int i = 0; i < 3; ++i) store1(bytes_on(to_images + i * plane, at), to_pixel[i]);
        // Beyond the outermost centres the position is clamped: nothing changes with the guide.
        const bool inside = position > 0.0f && position < last;
        store1(bytes_on(to_guides, at), inside ? to_guide * float(s.depth) : 0.0f);
      }
      at += width * size;
      // What is not this block's is some pixel of it again, out of the reach of every plane.
      shared_store4(strip + lane, make_float4(g[0], g[2], g[1], own ? z : -2.0f));
      shared_store4(strip + 32 + lane, make_float4(pixel[0], pixel[1], pixel[2], 1.0f));
      // The strip is there; and everybody is done with the one before, which is written next.
      warp_barrier();
      const float fx = fraction(begin) + float(thread() & 3) * slope;
      add_pixels(strip, 0, p_plane, fx, slope, of_row[0]);
      add_pixels(strip, 16, p_plane, fx + (bits == 5 ? 16.0f * slope : 0.0f), slope, of_row[1]);
      strip = other - strip;
    }
    // All pixels of a row have the same fraction along y, which comes in here, once for a sum.
    UNROLL for (int half = 0; half < 2; ++half) {
      const float fy = shared_load(4 + top + (half >> (bits - 4)));
      UNROLL for (int i = 0; i < 8; ++i) {
        const float sum = of_row[half].of[i >> 2][i & 3];
        sums.of[i >> 2][i & 3] += sum;
        sums_down.of[i >> 2][i & 3] += fy * sum;
      }
    }
  }
  float total[2][2];  // of all and of what falls to the row after; of that, the column after
  add_warps(4 * shared.slab, sums, sums_down, total);
  if (thread() >= kSums) return;
  UNROLL for (int half = 0; half < 2; ++half) {
    const float row[2] = {half ? total[1][0] : total[0][0] - total[1][0],
                          half ? total[1][1] : total[0][1] - total[1][1]};
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
  const long long across = (s.columns + 1LL) * x_parts;
  const long long down = (s.rows + 1LL) * y_parts * depth_parts;
  const int deep = z / kPlanes * (s.rows + 1);
  float sum = 0.0f;
  // Cell x is read by interval x, before its centre, as the cell after (half 1), and by interval
  // x + 1 as the cell before (half 0).
  const int parts = x_parts * y_parts;
  for (int half_y = 1; half_y >= 0; --half_y) {
    for (int half_x = 1; half_x >= 0; --half_x) {
      const int x_interval = x + 1 - half_x, y_interval = y + 1 - half_y;
      const long long first =
          (b * down + (deep + y_interval) * y_parts) * across + x_interval * x_parts;
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

#ifdef HDRBENCH_GRADIENT
#define SLICE_GRADIENT(name, T)                                                                  \
  KERNEL(128, 4) slice_gradient_##name(                                                          \
      const float* cells, const hdrbench::T* guide, const hdrbench::T* image,                     \
      const hdrbench::T* grad, hdrbench::T* grad_guide, hdrbench::T* grad_image,                 \
      float* workspace, SIZES, int x_parts, int x_length, int y_parts, int block_rows,           \
      int strip_bits, int depth_parts, STRIDES(guide), STRIDES(image), STRIDES(grad)) {           \
    hdrbench::slice_gradient(cells, guide, image, grad, grad_guide, grad_image, workspace,       \
                             {depth, rows, columns, height, width}, x_parts, x_length, y_parts,  \
                             block_rows, strip_bits, depth_parts, OF(guide), OF(image),          \
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
#endif
