// Between a profile's numbers and what a model is given: look-ups in the profile's curves, a matrix
// between two kinds of light, and sRGB's own curve, which is computed.
//
// Curves are looked up by plain loads: eight of them cost what a gather does (NOTES.md), and on
// their way they take interleaved channels apart, or put them together.
#pragma once

#include "simd.h"

namespace {

// Pixels between look-ups and arithmetic, which go on side by side: the one waits for memory while
// the other computes, and so far apart neither waits for the other.
constexpr int kAhead = 64;
// Of a curve on the way back, which is looked up at the nearest: a sixtieth of a level of bytes and a
// quarter of one of words, or less, by how steep the curve is. For bytes it fits the L1 cache; for
// words an L2, which costs less than a straight line between steps of a small one.
constexpr int kByteSteps = 1 << 14, kWordSteps = 1 << 17;

// curves: a channel's own light for each of its numbers. matrix: [output][input], to light with
// sRGB's primaries. encode: whether sRGB's curve follows.
struct ToModel {
  const float* curves[3];
  float matrix[9];
  int32_t encode;
};

// From sRGB. matrix: [output][input], from light with sRGB's primaries to the profile's own.
// curves: uint8_t[kByteSteps + 1] or uint16_t[kWordSteps + 1], the level at the square of each step
// of light: squares are finer where the dark needs it.
struct FromModel {
  const void* curves[3];
  float matrix[9];
};

INLINE void multiply(const float* matrix, const v8* from, v8* to) {
  for (int c = 0; c < 3; ++c) {
    to[c] = from[0] * matrix[3 * c] + from[1] * matrix[3 * c + 1] + from[2] * matrix[3 * c + 2];
  }
}

INLINE i8 bits_of(v8 x) {
  i8 bits;
  std::memcpy(&bits, &x, sizeof bits);
  return bits;
}

INLINE v8 floats_of(i8 bits) {
  v8 x;
  std::memcpy(&x, &bits, sizeof x);
  return x;
}

// In [0, most], of what is no NaN: numbers of 0 and more stand in the order of their bits, those
// below have the integers' sign, and the least and the greatest integer are an instruction each,
// where of floats the compiler, for a NaN's sake, makes two of it.
INLINE v8 between_0_and(float most, v8 x) {
  const i8 top = bits_of(splat(most));
  i8 bits = bits_of(x);
  bits = bits > 0 ? bits : i8{};
  bits = bits < top ? bits : top;
  return floats_of(bits);
}

constexpr float kBelowOne = 0.99999994f;  // the number before 1

// sRGB of light in [0, kBelowOne], within 1.2e-6 of itself. Above the toe 1.055 x^(5/12) - 0.055, with
// x = m 2^e: a polynomial gives 1.055 m^(5/12), and 2^(5 e / 12) has a place for each e in a
// register. The toe ends in the ninth octave under 1, at 0.0031308 = 0.8015 / 256: the polynomial
// goes so far below 1, and m of that octave with it. 1 itself would need a ninth place.
INLINE v8 srgb_of_light(v8 x) {
  // Of the exponents 119 to 126 (-8 to -1) the three lowest bits: 7, then 0 to 6.
  const v8 unscale = {128, 64, 32, 16, 8, 4, 2, 256};
  const v8 scale = {0.132432893f, 0.176776692f, 0.235968575f, 0.314980268f,
                    0.420448214f, 0.561231017f, 0.749153554f, 0.0992125645f};
  i8 exponent = bits_of(x) >> 23;
  exponent = exponent > 119 ? exponent : i8{} + 119;
  const v8 m = x * lookup(unscale, exponent);
  v8 p = splat(-0.005049706f);
  p = p * m + 0.050671998f;
  p = p * m - 0.21890049f;
  p = p * m + 0.53787738f;
  p = p * m - 0.85957223f;
  p = p * m + 1.19763517f;
  p = p * m + 0.35233903f;
  return x > 0.0031308f ? p * lookup(scale, exponent) - 0.055f : x * 12.92f;
}

// Light of sRGB in [0, 1]: the power by a polynomial whose error, encoded again, is within 2e-6
// of the whole.
INLINE v8 light_of_srgb(v8 s) {
  v8 p = splat(-0.13711190f);
  p = p * s + 0.61398679f;
  p = p * s - 1.18583715f;
  p = p * s + 1.33171701f;
  p = p * s - 1.04934049f;
  p = p * s + 0.91154879f;
  p = p * s + 0.47842979f;
  p = p * s + 0.035759807f;
  p = p * s + 8.4397249e-4f;
  return s > 0.04045f ? p : s * (1 / 12.92f);
}

// A row of pixels, `step` numbers from one to the next and `plane` from a channel to the next, into
// three rows of floats; added to `sums`, a row for each channel after the other, where given.
template <typename T>
INLINE void row_to_model(const ToModel& colours, const T* from, int64_t step, int64_t plane,
                         int width, float* const* rows, float* sums) {
  const ToModel own = colours;  // copies, which no write of a float can change
  const float most = own.encode ? kBelowOne : 1.0f;
  float* const row[3] = {rows[0], rows[1], rows[2]};
  const auto look_up = [=](int begin, int end) __attribute__((always_inline)) {
    const T* pixel = from + begin * step;
    for (int x = begin; x < end; ++x, pixel += step) {
      for (int c = 0; c < 3; ++c) row[c][x] = own.curves[c][pixel[c * plane]];
    }
  };
  const auto compute = [=](int x, int count) __attribute__((always_inline)) {
    v8 channels[3], light[3];
    for (int c = 0; c < 3; ++c) channels[c] = load_some(row[c] + x, count);
    multiply(own.matrix, channels, light);
    for (int c = 0; c < 3; ++c) {
      light[c] = between_0_and(most, light[c]);
      if (own.encode) light[c] = srgb_of_light(light[c]);
      store_some(row[c] + x, light[c], count);
      if (sums) {
        float* sum = sums + int64_t(c) * width + x;
        store_some(sum, load_some(sum, count) + light[c], count);
      }
    }
  };
  int x = 0, ahead = std::min(kAhead, width);
  look_up(0, ahead);
  // Of eight pixels, as a constant: what cuts a row's end short costs time in every round.
  for (; ahead + kLanes <= width; x += kLanes, ahead += kLanes) {
    look_up(ahead, ahead + kLanes);
    compute(x, kLanes);
  }
  look_up(ahead, width);
  for (; x + kLanes <= width; x += kLanes) compute(x, kLanes);
  if (x < width) compute(x, width - x);
}

INLINE v8 root(v8 x) {
  v8 result;
  for (int lane = 0; lane < kLanes; ++lane) result[lane] = std::sqrt(x[lane]);
  return result;
}

INLINE float steps_of(const uint8_t*) { return kByteSteps; }
INLINE float steps_of(const uint16_t*) { return kWordSteps; }

// What row_to_model reads, from three rows of floats, which it writes over.
template <typename T>
INLINE void row_from_model(const FromModel& colours, T* to, int64_t step, int64_t plane, int width,
                           float* const* rows) {
  const FromModel own = colours;
  const float steps = steps_of(to);
  float* const row[3] = {rows[0], rows[1], rows[2]};
  const auto look_up = [=](int begin, int end) __attribute__((always_inline)) {
    T* pixel = to + begin * step;
    for (int x = begin; x < end; ++x, pixel += step) {
      for (int c = 0; c < 3; ++c) {
        int32_t at;
        std::memcpy(&at, row[c] + x, sizeof at);
        pixel[c * plane] = static_cast<const T*>(own.curves[c])[at];
      }
    }
  };
  // The rows then hold integers, which a look-up need not make of floats one by one.
  const auto compute = [=](int x, int count) __attribute__((always_inline)) {
    v8 light[3], channels[3];
    for (int c = 0; c < 3; ++c) {
      const v8 positive = vmax(load_some(row[c] + x, count), v8{});  // of a NaN 0
      light[c] = light_of_srgb(between_0_and(1, positive));
    }
    multiply(own.matrix, light, channels);
    for (int c = 0; c < 3; ++c) {
      const v8 place = root(between_0_and(1, channels[c])) * steps + 0.5f;
      store_some(row[c] + x, floats_of(__builtin_convertvector(place, i8)), count);
    }
  };
  int x = 0, behind = 0;
  for (; x < kAhead && x + kLanes <= width; x += kLanes) compute(x, kLanes);
  for (; x + kLanes <= width; x += kLanes, behind += kLanes) {
    compute(x, kLanes);
    look_up(behind, behind + kLanes);
  }
  if (x < width) compute(x, width - x);
  look_up(behind, width);
}

}  // namespace
