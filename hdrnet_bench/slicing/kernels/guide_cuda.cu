// The guides on the GPU: curves, forward and backward; pointwise, for inference.
#include "slice_gradient_cuda.cu"

namespace hdrbench {

// The packed curves in shared memory, as curves.h has them, and the constant
// mix_bias - sum of slope * shift: w relu(t - s) is w max(t, s) - w s.
enum CurvesWord {
  kCcm = 0,  // [input][output]
  kBias = 9,
  kShifts = 12,
  kSlopes = 60,  // multiplied with the mix
  kMixBias = 108,
  kConstant = 109,
  kCurvesWords = 112
};
const int kPoints = 16;

// The curves as a table, for inference: each is straight lines between its control points, so that
// where a colour lies says which line it is on. Colours are counted from a curve's lowest point in
// units of its range, so that its points are in [0, 1], and in kCells cells (the first and the last
// half as long as the others). A cell is four words, {a, b, point, change}: the curve is
// a u + b + change * max(u, point).
const int kCells = 128;
enum TableFours {  // where they begin, in fours of words
  kTableCcm = 0,   // for each curve three weights and an offset
  kTableCells = 3,
  kTablePoints = kTableCells + 3 * kCells,  // the points themselves, for what the cells lack:
  kTableSlopes = kTablePoints + 3 * kPoints / 4,  // as kShifts and kSlopes
  kTableConstant = kTableSlopes + 3 * kPoints / 4,
  kTableFours = kTableConstant + 1
};

// They stand first in shared memory.
inline void load_parameters(const float* parameters, int count) {
  NO_UNROLL for (int i = thread(); i < count; i += kThreads) {
    shared_store(i, global_load(parameters + i));
  }
}

// Four words at a time. The first `matrices` fours are weights of three colours, which are multiplied
// by `unit`, and an offset.
inline void load_parameters4(const float* parameters, int count, int matrices, float unit) {
  NO_UNROLL for (int i = thread(); i < count / 4; i += kThreads) {
    const float4 four = global_load(reinterpret_cast<const float4*>(parameters) + i);
    shared_store4(i, i < matrices ? with_colours_of(unit, four) : four);
  }
}

template <int N>
inline float mixed(int j, const float (*in)[N], int k) {
  return in[0][k] * shared_load(kCcm + j) + in[1][k] * shared_load(kCcm + 3 + j) +
         (in[2][k] * shared_load(kCcm + 6 + j) + shared_load(kBias + j));
}

// Adds a curve at N colours; its points and slopes begin at `points` and `slopes`, in fours. Not
// unrolled: else all points are kept in registers from row to row.
template <int N>
inline void add_curve(int points, int slopes, const float* t, float* sum) {
  NO_UNROLL for (int p = 0; p < kPoints / 4; ++p) {
    const float4 s = shared_load4(points + p), w = shared_load4(slopes + p);
    UNROLL for (int k = 0; k < N; ++k) {
      sum[k] += w.x * fmaxf(t[k], s.x);
      sum[k] += w.y * fmaxf(t[k], s.y);
      sum[k] += w.z * fmaxf(t[k], s.z);
      sum[k] += w.w * fmaxf(t[k], s.w);
    }
  }
}

// Before it is clipped; `t` are the colours that go into the curves.
template <int N>
inline void curves_sum(const float (*in)[N], float (*t)[N], float* sum) {
  UNROLL for (int k = 0; k < N; ++k) sum[k] = shared_load(kConstant);
  UNROLL for (int j = 0; j < 3; ++j) {
    UNROLL for (int k = 0; k < N; ++k) t[j][k] = mixed(j, in, k);
    add_curve<N>((kShifts + j * kPoints) / 4, (kSlopes + j * kPoints) / 4, t[j], sum);
  }
}

// Which cell a colour is in. It never falls from one colour to a higher one, so a point in a lower
// cell is below the colour, whatever the rounding, and one in a higher cell above.
inline unsigned cell_bits(float u) {  // see pair_at
  return float_to_bits(saturate(u) * float(kCells - 1) + kRound);
}

// Packed curves to their table: a block for each curve, a thread for each cell. A cell with several
// points has NaN for `change`: the pixels in it take the points one by one.
inline void curves_table(const float* parameters, float* table) {
  const int j = block_x(), i = thread();
  const float* shifts = parameters + kShifts + j * kPoints;
  const float* slopes = parameters + kSlopes + j * kPoints;
  float shift[kPoints], slope[kPoints];
  UNROLL for (int p = 0; p < kPoints; ++p) {
    shift[p] = global_load(shifts + p);
    slope[p] = global_load(slopes + p);
  }
  float lowest = shift[0], highest = shift[0];
  UNROLL for (int p = 1; p < kPoints; ++p) {
    lowest = fminf(lowest, shift[p]);
    highest = fmaxf(highest, shift[p]);
  }
  // A smaller range than that would make colours too large; its points are in one cell anyway.
  const float range = highest - lowest > 1e-5f ? highest - lowest : 1.0f;
  const float scale = 1.0f / range;
  float a = 0.0f, b = 0.0f, point = 0.0f, change = 0.0f, constant = 0.0f;
  int inside = 0;
  UNROLL for (int p = 0; p < kPoints; ++p) {
    const float u = (shift[p] - lowest) * scale, w = slope[p] * range;
    const int cell = int(cell_bits(u) - kWhole);
    if (cell < i) a += w;
    if (cell <= i) b -= w * u;
    if (cell == i) point = u, change = w, ++inside;
    constant -= w * u;
    if (i == p) {
      global_store(table + 4 * kTablePoints + j * kPoints + p, u);
      global_store(table + 4 * kTableSlopes + j * kPoints + p, w);
    }
  }
  if (inside > 1) change = bits_to_float(0x7fffffffu);
  if (j == 0) {
    const float mix_bias = global_load(parameters + kMixBias);
    b += mix_bias;
    constant += mix_bias;
  }
  float4* fours = reinterpret_cast<float4*>(table);
  global_store(fours + kTableCells + j * kCells + i, make_float4(a, b, point, change));
  if (i == 0) {
    global_store(fours + kTableCcm + j,
                 make_float4(global_load(parameters + kCcm + j) * scale,
                             global_load(parameters + kCcm + 3 + j) * scale,
                             global_load(parameters + kCcm + 6 + j) * scale,
                             (global_load(parameters + kBias + j) - lowest) * scale));
    global_store(table + 4 * kTableConstant + j, constant);
    // No word is left open, though none reads the last one's number: fours are read whole.
    if (j == 0) global_store(table + 4 * kTableConstant + 3, 0.0f);
  }
}

// For kernels that have the colours in registers: the guide of N pixels. Not clipped: beyond [0, 1]
// it reads the outermost planes, as at 0 and 1.
struct TableGuide {
  static const bool kGiven = false;
  inline int matrices() const { return 3; }
  inline void at(const float (*in)[1], int, int, float* guide) const { (*this)(in, guide); }
  template <int N>
  inline void operator()(const float (*in)[N], float* guide) const {
    float u[3][N];
    UNROLL for (int j = 0; j < 3; ++j) {
      const float4 of = shared_load4(kTableCcm + j);
      const unsigned cells = shared_place(kTableCells + j * kCells) - 16 * kWhole;
      UNROLL for (int k = 0; k < N; ++k) {
        u[j][k] = of.x * in[0][k] + (of.y * in[1][k] + (of.z * in[2][k] + of.w));
        const float4 cell = shared_load4_at(cells + 16 * cell_bits(u[j][k]));
        const float value = cell.w * fmaxf(u[j][k], cell.z) + (cell.x * u[j][k] + cell.y);
        guide[k] = j == 0 ? value : guide[k] + value;
      }
    }
    bool lacking = false;
    UNROLL for (int k = 0; k < N; ++k) lacking |= guide[k] != guide[k];
    if (lacking) points_one_by_one<N>(u, guide);
  }

  template <int N>
  inline void points_one_by_one(const float (*u)[N], float* guide) const {
    UNROLL for (int k = 0; k < N; ++k) guide[k] = 0.0f;
    UNROLL for (int j = 0; j < 3; ++j) {
      UNROLL for (int k = 0; k < N; ++k) guide[k] += shared_load(4 * kTableConstant + j);
      add_curve<N>(kTablePoints + j * kPoints / 4, kTableSlopes + j * kPoints / 4, u[j], guide);
    }
  }
};

// The same by the curves' points, clipped: the guide itself.
struct CurvesGuide {
  template <int N>
  inline void operator()(const float (*in)[N], float* guide) const {
    float t[3][N], sum[N];
    curves_sum(in, t, sum);
    UNROLL for (int k = 0; k < N; ++k) guide[k] = fminf(fmaxf(sum[k], 0.0f), 1.0f);
  }
};

// sigmoid(w2 . relu(w1 x + b1) + b2); words: for each hidden channel its three weights and bias,
// then all of w2, then b2.
struct PointwiseGuide {
  static const bool kGiven = false;
  int width;
  inline int matrices() const { return width; }
  inline void at(const float (*in)[1], int, int, float* guide) const { (*this)(in, guide); }
  template <int N>
  inline void operator()(const float (*in)[N], float* guide) const {
    float sum[N];
    UNROLL for (int k = 0; k < N; ++k) sum[k] = shared_load(5 * width);
    NO_UNROLL for (int h = 0; h < width; ++h) {
      const float4 w = shared_load4(h);
      const float v = shared_load(4 * width + h);
      UNROLL for (int k = 0; k < N; ++k) {
        sum[k] += v * fmaxf(w.x * in[0][k] + w.y * in[1][k] + (w.z * in[2][k] + w.w), 0.0f);
      }
    }
    UNROLL for (int k = 0; k < N; ++k) guide[k] = 1.0f / (1.0f + expf(-sum[k]));
  }
};

// (B, 3, pixels) -> (B, pixels), contiguous.
inline void curves_forward(const float* image, const float* parameters, float* guide,
                           long long pixels, int layout) {
  load_parameters(parameters, kConstant + 1);
  barrier();
  const long long x = (long long)block_x() * kSegment + thread() * kPixels;
  const long long b = block_y();
  if (x >= pixels) return;
  const int count = pixels - x < 4 ? int(pixels - x) : 4;
  const Strides strides = {3 * pixels, pixels, 0, 1};
  float in[3][4], value[4];
  read_pixels(image + b * strides.b + x, strides, layout, 0, count, in);
  CurvesGuide()(in, value);
  write_row4(guide + b * pixels + x, 1, layout, 0, count, value);
}

// ---- gradients ------------------------------------------------------------------------------
//
// What follows from a clipped pixel is 0. For the others, with g the guide's gradient, the sums are
// g; for each control point g relu(t - shift) and g where t is above the shift; for the colour
// matrix and its bias, the curves' slopes times g times colour. The 96 of the control points are
// owned by threads that sweep a tile's pixels, each its part of them.

const int kCurveSums = 109;  // in the order of guide_cpu.cpp: guide, excess, above, ccm, bias
const int kExcess = 1, kCcmSums = 97;
const int kCurveGroups = kThreads / kPoints;
const int kCurveSwept = kSegment / kCurveGroups;          // pixels of a group
const int kCurveGroupFours = kCurveSwept + 1;             // four words a pixel: t and g; the one
                                                          // more keeps groups on other banks
const int kCurveTile = kCurvesWords / 4;                  // where the pixels stand, in fours
const int kOwn = 13;                                      // sums that each thread has of its own

inline void curves_backward(const float* image, const float* parameters, const float* grad,
                            float* grad_image, float* workspace, long long pixels, int layout) {
  load_parameters(parameters, kConstant + 1);
  const long long b = block_y();
  const Strides strides = {3 * pixels, pixels, 0, 1};
  const int group = thread() / kPoints, point = thread() % kPoints;
  float own[kOwn] = {}, excess[3] = {}, above[3] = {};
  for (long long tile = (long long)block_x() * kSegment; tile < pixels;
       tile += (long long)blocks_x() * kSegment) {
    barrier();  // the parameters are there, and the last tile has been swept
    const long long x = tile + thread() * kPixels;
    const int count = x >= pixels ? 0 : pixels - x < 4 ? int(pixels - x) : 4;
    float in[3][4] = {}, g[4] = {}, t[3][4], value[4], to_image[3][4] = {};
    if (count > 0) {
      read_pixels(image + b * strides.b + x, strides, layout, 0, count, in);
      read_row4(grad + b * pixels + x, 1, layout, 0, count, g);
    }
    curves_sum(in, t, value);
    // What is beyond the picture was read as 0, its gradient too: it adds nothing to any sum.
    UNROLL for (int k = 0; k < 4; ++k) {
      const bool moves = value[k] >= 0.0f && value[k] <= 1.0f;
      g[k] = moves ? g[k] : 0.0f;
      own[0] += g[k];
    }
    UNROLL for (int j = 0; j < 3; ++j) {
      float slope[4] = {};
      UNROLL for (int p = 0; p < kPoints; p += 4) {
        const float4 s = shared_load4((kShifts + j * kPoints + p) / 4);
        const float4 w = shared_load4((kSlopes + j * kPoints + p) / 4);
        UNROLL for (int k = 0; k < 4; ++k) {
          slope[k] += t[j][k] > s.x ? w.x : 0.0f;
          slope[k] += t[j][k] > s.y ? w.y : 0.0f;
          slope[k] += t[j][k] > s.z ? w.z : 0.0f;
          slope[k] += t[j][k] > s.w ? w.w : 0.0f;
        }
      }
      UNROLL for (int k = 0; k < 4; ++k) {
        const float along = slope[k] * g[k];
        own[10 + j] += along;
        UNROLL for (int i = 0; i < 3; ++i) {
          own[1 + 3 * i + j] += along * in[i][k];
          to_image[i][k] += along * shared_load(kCcm + 3 * i + j);
        }
      }
    }
    if (count > 0) {
      write_pixels(grad_image + b * strides.b + x, strides, layout, 0, count, to_image);
    }
    UNROLL for (int k = 0; k < 4; ++k) {
      const int p = thread() * kPixels + k;
      shared_store4(kCurveTile + p / kCurveSwept * kCurveGroupFours + p % kCurveSwept,
                    make_float4(t[0][k], t[1][k], t[2][k], g[k]));
    }
    barrier();
    const float shift[3] = {shared_load(kShifts + point), shared_load(kShifts + 16 + point),
                            shared_load(kShifts + 32 + point)};
    NO_UNROLL for (int p = 0; p < kCurveSwept; ++p) {
      const float4 pixel = shared_load4(kCurveTile + group * kCurveGroupFours + p);
      const float over[3] = {pixel.x - shift[0], pixel.y - shift[1], pixel.z - shift[2]};
      UNROLL for (int j = 0; j < 3; ++j) {
        const float here = over[j] > 0.0f ? pixel.w : 0.0f;
        above[j] += here;
        excess[j] += here * over[j];
      }
    }
  }
  float* partial = workspace + (b * blocks_x() + block_x()) * kCurveSums;
  // The groups' sums, in the order of groups: [group][kind][channel][point].
  barrier();
  UNROLL for (int j = 0; j < 3; ++j) {
    shared_store(group * 96 + j * kPoints + point, excess[j]);
    shared_store(group * 96 + 48 + j * kPoints + point, above[j]);
  }
  barrier();
  if (thread() < 96) {
    float sum = 0.0f;
    for (int g = 0; g < kCurveGroups; ++g) sum += shared_load(g * 96 + thread());
    global_store(partial + kExcess + thread(), sum);
  }
  // Each thread's own sums, eight threads to a sum and then those eight.
  barrier();
  UNROLL for (int i = 0; i < kOwn; ++i) shared_store(i * (kThreads + 1) + thread(), own[i]);
  barrier();
  const int which = thread() / 8, part = thread() % 8, eighths = kOwn * (kThreads + 1);
  if (which < kOwn) {
    float sum = 0.0f;
    for (int i = 0; i < kThreads / 8; ++i) {
      sum += shared_load(which * (kThreads + 1) + part * (kThreads / 8) + i);
    }
    shared_store(eighths + thread(), sum);
  }
  barrier();
  if (thread() < kOwn) {
    float sum = 0.0f;
    for (int i = 0; i < 8; ++i) sum += shared_load(eighths + thread() * 8 + i);
    global_store(partial + (thread() == 0 ? 0 : kCcmSums + thread() - 1), sum);
  }
}

// Sum i of all blocks, in their order: a block for each of the kCurveSums.
inline void curves_sums(const float* workspace, float* sums, int blocks) {
  float sum = 0.0f;
  NO_UNROLL for (int i = thread(); i < blocks; i += kThreads) {
    sum += global_load(workspace + (long long)i * kCurveSums + block_x());
  }
  sum = add_threads(sum);
  if (thread() == 0) global_store(sums + block_x(), sum);
}

}  // namespace hdrbench

#ifdef HDRBENCH_GUIDE
KERNEL(128, 8) curves_table(const float* parameters, float* table) {
  hdrbench::curves_table(parameters, table);
}

KERNEL(128, 8) curves_forward(const float* image, const float* parameters, float* guide,
                              long long pixels, int layout) {
  hdrbench::curves_forward(image, parameters, guide, pixels, layout);
}

KERNEL(128, 4) curves_backward(const float* image, const float* parameters, const float* grad,
                               float* grad_image, float* workspace, long long pixels,
                               int layout) {
  hdrbench::curves_backward(image, parameters, grad, grad_image, workspace, pixels, layout);
}

KERNEL(128, 8) curves_sums(const float* workspace, float* sums, int blocks) {
  hdrbench::curves_sums(workspace, sums, blocks);
}
#endif
