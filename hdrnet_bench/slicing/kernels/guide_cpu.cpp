// The curves guide for training, forward and backward, on the CPU. A guide value depends on its own
// pixel alone, so a picture is one run of pixels here, cut into kBands whatever its rows are.
#include "curves.h"

namespace {

DISPATCH void guide_rows(const Curves& c, int64_t pixels, int64_t begin, int64_t end,
                         const float* image, float* guide) {
  const float constant = curve_constant(c);
  for (int64_t x = begin; x < end; x += kLanes) {
    const int count = int(std::min<int64_t>(end - x, kLanes));
    v8 pixel[3];
    for (int i = 0; i < 3; ++i) pixel[i] = load_some(image + i * pixels + x, count);
    store_some(guide + x, curves_guide(c, constant, pixel), count);
  }
}

// Sums over pixels from which all parameters' gradients follow (../operators.py). The parameters
// themselves are left to the end: with the packed slopes, which have the mix multiplied in, slopes
// and mix could not be told apart here.
template <typename T>
struct Sums {
  T guide;                         // of the guide's gradient, where it is not clipped
  T excess[3][kPoints];            // times relu(t - shift)
  T above[3][kPoints];             // where t is above the shift
  T ccm[9], bias[3];
};

// Both structures hold the same values in the same order, one as eight lanes each.
void add(Sums<v8>& lanes, Sums<double>& total) {
  const float* from = reinterpret_cast<const float*>(&lanes);
  double* to = reinterpret_cast<double*>(&total);
  for (size_t i = 0; i < sizeof(total) / sizeof(double); ++i) {
    for (int lane = 0; lane < kLanes; ++lane) to[i] += from[i * kLanes + lane];
  }
}

DISPATCH void guide_backward_rows(const Curves& c, int64_t pixels, int64_t begin, int64_t end,
                                  const float* image, const float* grad, float* grad_image,
                                  Sums<double>& total) {
  const v8 zero = {};
  // Pixels summed in float before they go to double: 512 additions a lane, so that the rounding
  // error does not grow with the picture.
  constexpr int64_t kRun = 4096;
  for (int64_t run = begin; run < end; run += kRun) {
    Sums<v8> sums = {};
    const int64_t run_end = std::min(run + kRun, end);
    for (int64_t x = run; x < run_end; x += kLanes) {
      const int count = int(std::min<int64_t>(run_end - x, kLanes));
      v8 pixel[3], t[3], value = splat(c.mix_bias);
      for (int i = 0; i < 3; ++i) pixel[i] = load_some(image + i * pixels + x, count);
      for (int j = 0; j < 3; ++j) {
        t[j] = mixed(c, j, pixel);
        for (int k = 0; k < kPoints; ++k) {
          value += vmax(t[j] - c.shifts[j][k], zero) * c.slopes[j][k];
        }
      }
      v8 g = load_some(grad + x, count);
      // Where the guide is clipped nothing changes with it. At 0 and 1 themselves it does, as in
      // torch's clamp. Lanes beyond `count` have no gradient either: they were loaded as 0.
      g = ((value >= 0.0f) & (value <= 1.0f)) ? g : zero;
      sums.guide += g;
      v8 to_pixel[3] = {};
      for (int j = 0; j < 3; ++j) {
        v8 slope = zero;
        for (int k = 0; k < kPoints; ++k) {
          const v8 excess = t[j] - c.shifts[j][k];
          const v8 above = excess > zero ? g : zero;  // relu's slope is 0 at its kink
          sums.above[j][k] += above;
          sums.excess[j][k] += above * excess;
          slope += above * c.slopes[j][k];
        }
        // `slope` is now the gradient of t[j], the colour that goes into the curve.
        sums.bias[j] += slope;
        for (int i = 0; i < 3; ++i) {
          sums.ccm[i * 3 + j] += slope * pixel[i];
          to_pixel[i] += slope * c.ccm[i * 3 + j];
        }
      }
      for (int i = 0; i < 3; ++i) store_some(grad_image + i * pixels + x, to_pixel[i], count);
    }
    add(sums, total);
  }
}

}  // namespace

// image (B, 3, pixels), guide (B, pixels); curves: the packed struct of curves.h.
API void hdrbench_curves_forward(int32_t batch, int64_t pixels, const float* curves,
                                 const float* image, float* guide, int32_t threads) {
  Curves c;
  std::memcpy(&c, curves, sizeof c);
  parallel(batch * kBands, threads, [&](int job) {
    const int64_t b = job / kBands, band = job % kBands;
    guide_rows(c, pixels, pixels * band / kBands, pixels * (band + 1) / kBands,
               image + b * 3 * pixels, guide + b * pixels);
  });
}

// sums: 109 doubles, in the order of Sums.
API void hdrbench_curves_backward(int32_t batch, int64_t pixels, const float* curves,
                                  const float* image, const float* grad, float* grad_image,
                                  double* sums, int32_t threads) {
  Curves c;
  std::memcpy(&c, curves, sizeof c);
  std::vector<Sums<double>> of_band(size_t(batch) * kBands, Sums<double>{});
  parallel(batch * kBands, threads, [&](int job) {
    const int64_t b = job / kBands, band = job % kBands;
    guide_backward_rows(c, pixels, pixels * band / kBands, pixels * (band + 1) / kBands,
                        image + b * 3 * pixels, grad + b * pixels, grad_image + b * 3 * pixels,
                        of_band[job]);
  });
  // In the order of bands, whichever thread finished first: the bits do not depend on it.
  constexpr size_t kSums = sizeof(Sums<double>) / sizeof(double);
  std::fill(sums, sums + kSums, 0.0);
  for (const auto& band : of_band) {
    const double* values = reinterpret_cast<const double*>(&band);
    for (size_t i = 0; i < kSums; ++i) sums[i] += values[i];
  }
}
