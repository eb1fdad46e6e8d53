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
  kConstant = 109,
  kCurvesWords = 112
};
const int kPoints = 16;

// They stand first in shared memory.
inline void load_parameters(const float* parameters, int count) {
  NO_UNROLL for (int i = thread(); i < count; i += kThreads) {
    shared_store(i, global_load(parameters + i));
  }
}

template <int N>
inline float mixed(int j, const float (*in)[N], int k) {
  return in[0][k] * shared_load(kCcm + j) + in[1][k] * shared_load(kCcm + 3 + j) +
         (in[2][k] * shared_load(kCcm + 6 + j) + shared_load(kBias + j));
}

// Before it is clipped; `t` are the colours that go into the curves.
template <int N>
inline void curves_sum(const float (*in)[N], float (*t)[N], float* sum) {
  UNROLL for (int k = 0; k < N; ++k) sum[k] = shared_load(kConstant);
  UNROLL for (int j = 0; j < 3; ++j) {
    UNROLL for (int k = 0; k < N; ++k) t[j][k] = mixed(j, in, k);
    // Not unrolled: else all control points are kept in registers from row to row.
    NO_UNROLL for (int p = 0; p < kPoints; p += 4) {
      const float4 s = shared_load4((kShifts + j * kPoints + p) / 4);
      const float4 w = shared_load4((kSlopes + j * kPoints + p) / 4);
      UNROLL for (int k = 0; k < N; ++k) {
        sum[k] += w.x * fmaxf(t[j][k], s.x);
        sum[k] += w.y * fmaxf(t[j][k], s.y);
        sum[k] += w.z * fmaxf(t[j][k], s.z);
        sum[k] += w.w * fmaxf(t[j][k], s.w);
      }
    }
  }
}

// For kernels that have the colours in registers: the guide of N pixels, clipped.
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
