// The curves guide: a colour matrix, a curve of 16 points for each channel, their mix.
#pragma once

#include "simd.h"

namespace {

constexpr int kPoints = 16;

// The packed parameters, in this order; slopes have the mix multiplied in, which no clipping
// stands between.
struct Curves {
  float ccm[9];  // [input][output]
  float bias[3];
  float shifts[3][kPoints];
  float slopes[3][kPoints];
  float mix_bias;
};

INLINE v8 mixed(const Curves& c, int channel, const v8* pixel) {
  return pixel[0] * c.ccm[channel] + pixel[1] * c.ccm[3 + channel] +
         (pixel[2] * c.ccm[6 + channel] + c.bias[channel]);
}

// w * relu(t - s) = w * max(t, s) - w * s: the last term is a constant of the curves.
// Summed in double: 48 products of either sign, whose rounding error every pixel would have.
INLINE float curve_constant(const Curves& c) {
  double constant = c.mix_bias;
  for (int j = 0; j < 3; ++j) {
    for (int k = 0; k < kPoints; ++k) constant -= double(c.slopes[j][k]) * c.shifts[j][k];
  }
  return float(constant);
}

INLINE v8 curves_guide(const Curves& c, float constant, const v8* pixel) {
  // Six sums that do not wait for each other: a single chain of 48 would take a multiply-add's
  // whole latency for every control point.
  const v8 t[3] = {mixed(c, 0, pixel), mixed(c, 1, pixel), mixed(c, 2, pixel)};
  v8 even[3] = {splat(constant), {}, {}}, odd[3] = {};
  for (int k = 0; k < kPoints; k += 2) {
    for (int j = 0; j < 3; ++j) {
      even[j] += vmax(t[j], splat(c.shifts[j][k])) * c.slopes[j][k];
      odd[j] += vmax(t[j], splat(c.shifts[j][k + 1])) * c.slopes[j][k + 1];
    }
  }
  const v8 sum = ((even[0] + odd[0]) + (even[1] + odd[1])) + (even[2] + odd[2]);
  return vmin(vmax(sum, v8{}), splat(1));
}

}  // namespace
