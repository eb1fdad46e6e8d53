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
// where a colour lies says which line it is on. A curve has kCells cells of equal length between its
// lowest and its highest point, of four words each: {a, b, point, change}, for the sum of slopes
// a t + b + change * max(t, point).
enum TableWord {
  kLowest = 12,     // of each curve's points
  kCellsAlong = 15,  // cells of a unit of colour
  kTableMixBias = 18,
  kTableConstant = 19,
  kTableCells = 20,
  kCells = 128,
  kTableShifts = kTableCells + 3 * kCells * 4,  // the curves themselves, for what the cells lack
  kTableSlopes = kTableShifts + 48,
  kTableWords = kTableSlopes + 48
};

// They stand first in shared memory.
inline void load_parameters(const float* parameters, int count) {
  NO_UNROLL for (int i = thread(); i < count; i += kThreads) {
    shared_store(i, global_load(parameters + i));
  }
}

// Four words at a time, from a multiple of four on.
inline void load_parameters4(const float* parameters, int count) {
  NO_UNROLL for (int i = thread(); i < count / 4; i += kThreads) {
    shared_store4(i, global_load(reinterpret_cast<const float4*>(parameters) + i));
  }
}

template <int N>
inline float mixed(int j, const float (*in)[N], int k) {
  return in[0][k] * shared_load(kCcm + j) + in[1][k] * shared_load(kCcm + 3 + j) +
         (in[2][k] * shared_load(kCcm + 6 + j) + shared_load(kBias + j));
}

// Before it is clipped; `t` are the colours that go into the curves.
template <int kShiftsAt = kShifts, int kSlopesAt = kSlopes, int kConstantAt = kConstant, int N>
inline void curves_sum(const float (*in)[N], float (*t)[N], float* sum) {
  UNROLL for (int k = 0; k < N; ++k) sum[k] = shared_load(kConstantAt);
  UNROLL for (int j = 0; j < 3; ++j) {
    UNROLL for (int k = 0; k < N; ++k) t[j][k] = mixed(j, in, k);
    // Not unrolled: else all control points are kept in registers from row to row.
    NO_UNROLL for (int p = 0; p < kPoints; p += 4) {
      const float4 s = shared_load4((kShiftsAt + j * kPoints + p) / 4);
      const float4 w = shared_load4((kSlopesAt + j * kPoints + p) / 4);
      UNROLL for (int k = 0; k < N; ++k) {
        sum[k] += w.x * fmaxf(t[j][k], s.x);
        sum[k] += w.y * fmaxf(t[j][k], s.y);
        sum[k] += w.z * fmaxf(t[j][k], s.z);
        sum[k] += w.w * fmaxf(t[j][k], s.w);
      }
    }
  }
}

// Which cell of a curve a colour is in, as the low bits of a float (see pair_at). It never falls
// from one colour to a higher one, so a point in a lower cell is below the colour, whatever the
// rounding, and one in a higher cell above.
inline float cell_bits(float t, float lowest, float cells_along) {
  return fminf(fmaxf((t - lowest) * cells_along, 0.0f), float(kCells - 1)) + 12582912.0f;
}

inline int cell_of(float bits) { return int(float_to_bits(bits) - 0x4b400000u); }

// Packed curves to their table: a block for each curve, a thread for each cell. A cell with several
// points has NaN for `change`: the pixels in it take the curves themselves.
inline void curves_table(const float* parameters, float* table) {
  const int j = block_x(), i = thread();
  const float* shifts = parameters + kShifts + j * kPoints;
  const float* slopes = parameters + kSlopes + j * kPoints;
  float lowest = global_load(shifts), highest = lowest;
  NO_UNROLL for (int p = 1; p < kPoints; ++p) {
    lowest = fminf(lowest, global_load(shifts + p));
    highest = fmaxf(highest, global_load(shifts + p));
  }
  const float along = highest > lowest ? float(kCells - 1) / (highest - lowest) : 0.0f;
  float a = 0.0f, b = 0.0f, point = 0.0f, change = 0.0f;
  int inside = 0;
  NO_UNROLL for (int p = 0; p < kPoints; ++p) {
    const float shift = global_load(shifts + p), slope = global_load(slopes + p);
    const int cell = cell_of(cell_bits(shift, lowest, along));
    if (cell < i) a += slope;
    if (cell <= i) b -= slope * shift;
    if (cell == i) point = shift, change = slope, ++inside;
  }
  if (inside > 1) change = bits_to_float(0x7fffffffu);
  float4* cells = reinterpret_cast<float4*>(table + kTableCells) + j * kCells;
  global_store(cells + i, make_float4(a, b, point, change));
  if (i < kPoints) {
    global_store(table + kTableShifts + j * kPoints + i, global_load(shifts + i));
    global_store(table + kTableSlopes + j * kPoints + i, global_load(slopes + i));
  }
  if (i == 0) {
    global_store(table + kLowest + j, lowest);
    global_store(table + kCellsAlong + j, along);
  }
  if (j == 0 && i < kLowest) global_store(table + i, global_load(parameters + i));
  if (j == 0 && i == kLowest) {
    float constant = global_load(parameters + kMixBias);
    global_store(table + kTableMixBias, constant);
    NO_UNROLL for (int p = 0; p < 3 * kPoints; ++p) {
      constant -= global_load(parameters + kShifts + p) * global_load(parameters + kSlopes + p);
    }
    global_store(table + kTableConstant, constant);
  }
}

// For kernels that have the colours in registers: the guide of N pixels, clipped.
struct TableGuide {
  template <int N>
  inline void operator()(const float (*in)[N], int, int, float* guide) const {
    float sum[N];
    UNROLL for (int k = 0; k < N; ++k) sum[k] = shared_load(kTableMixBias);
    UNROLL for (int j = 0; j < 3; ++j) {
      const float lowest = shared_load(kLowest + j), along = shared_load(kCellsAlong + j);
      UNROLL for (int k = 0; k < N; ++k) {
        const float t = mixed(j, in, k);
        const int at = kTableCells / 4 + j * kCells + cell_of(cell_bits(t, lowest, along));
        const float4 cell = shared_load4(at);
        sum[k] += cell.y;
        sum[k] += cell.x * t;
        sum[k] += cell.w * fmaxf(t, cell.z);
      }
    }
    bool lacking = false;
    UNROLL for (int k = 0; k < N; ++k) lacking |= sum[k] != sum[k];
    if (lacking) {
      float t[3][N];
      curves_sum<kTableShifts, kTableSlopes, kTableConstant>(in, t, sum);
    }
    UNROLL for (int k = 0; k < N; ++k) guide[k] = fminf(fmaxf(sum[k], 0.0f), 1.0f);
  }
};

// The same by the curves' points, one after another.
struct CurvesGuide {
  template <int N>
  inline void operator()(const float (*in)[N], int, int, float* guide) const {
    float t[3][N], sum[N];
    curves_sum(in, t, sum);
    UNROLL for (int k = 0; k < N; ++k) guide[k] = fminf(fmaxf(sum[k], 0.0f), 1.0f);
  }
};

// sigmoid(w2 . relu(w1 x + b1) + b2); words: for each hidden channel its three weights and bias,
// then all of w2, then b2.
struct PointwiseGuide {
  int width;
  template <int N>
  inline void operator()(const float (*in)[N], int, int, float* guide) const {
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
  CurvesGuide()(in, 0, 0, value);
  write_row4(guide + b * pixels + x, 1, layout, 0, count, value);
}

// ---- gradients ------------------------------------------------------------------------------
//
// What follows from a clipped pixel is 0. For the others, with g the guide's gradient, the sums are
// g; for each control point g relu(t - shift) and g where t is above the shift; for the colour
// matrix and its bias, the curves' slopes times g times colour. The 96 of the control points are
// owned by threads that sweep a tile's pixels, as in slice_gradient_cuda.cu.

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
