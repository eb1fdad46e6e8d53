// Where a pixel reads the bilateral grid: the maths that every kernel shares.
//
// A pixel centre at index + .5 of `size` pixels stands at (index + .5) * cells / size in a grid of
// `cells`, whose own centres are at index + .5. Counted from the first centre, and clamped to the
// first and the last one, that position has an integer part (the lower of two cells) and a
// fraction (the weight of the upper one). Clamping the position is the same as clamping both
// indices, and keeps the fraction at 0 where there is no upper cell.
#pragma once

namespace hdrbench {

template <typename T>
struct Tap {
  int low, high;  // the two cells; equal at the end of the grid
  T fraction;     // weight of `high`
};

template <typename T>
inline T clamp_position(T position, int cells) {
  // Written so that a NaN becomes 0.
  position = position > T(0) ? position : T(0);
  const T last = T(cells - 1);
  return position < last ? position : last;
}

template <typename T>
inline Tap<T> tap_at(T position, int cells) {
  position = clamp_position(position, cells);
  const int low = int(position);
  return {low, low + 1 < cells ? low + 1 : low, position - T(low)};
}

// Along the picture's width or height.
template <typename T>
inline T spatial_position(int index, int size, int cells) {
  return (T(index) + T(0.5)) * T(cells) / T(size) - T(0.5);
}

// First pixel whose lower cell is at least `cell`: pixels stand in the order of their cells.
inline int first_pixel(int cell, int size, int cells) {
  if (cell <= 0) return 0;
  if (cell >= cells) return size;
  // The inverse of spatial_position, two pixels early for its rounding. From there on the very
  // expression that a pixel is placed by decides, so that no pixel is in two intervals or in none.
  int index = int((float(cell) + 0.5f) * float(size) / float(cells) - 0.5f) - 2;
  index = index < 0 ? 0 : (index > size ? size : index);
  while (index < size && tap_at(spatial_position<float>(index, size, cells), cells).low < cell) {
    ++index;
  }
  return index;
}

// Along the depth.
template <typename T>
inline T depth_position(T guide, int depth) {
  return guide * T(depth) - T(0.5);
}

}  // namespace hdrbench
