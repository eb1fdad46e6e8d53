// What slicing kernels commonly are, to compare with: a thread a pixel, eight corners of the grid,
// each coefficient read by itself from planar memory.
extern "C" __global__ void eight_corners(const float* grid, const float* guide, const float* image,
                                         float* out, int depth, int rows, int columns, int height,
                                         int width) {
  const int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y;
  if (x >= width) return;
  const int pixel = y * width + x, plane = height * width;
  const float px = (x + 0.5f) * columns / width - 0.5f, py = (y + 0.5f) * rows / height - 0.5f;
  const float pz = guide[pixel] * depth - 0.5f;
  const int x0 = int(floorf(px)), y0 = int(floorf(py)), z0 = int(floorf(pz));
  float coefficients[12] = {};
#pragma unroll
  for (int corner = 0; corner < 8; ++corner) {
    const int xi = x0 + (corner & 1), yi = y0 + (corner >> 1 & 1), zi = z0 + (corner >> 2);
    const float weight = (1.0f - fabsf(px - xi)) * (1.0f - fabsf(py - yi)) * (1.0f - fabsf(pz - zi));
    const int xc = min(max(xi, 0), columns - 1), yc = min(max(yi, 0), rows - 1);
    const int zc = min(max(zi, 0), depth - 1);
    const float* from = grid + (zc * rows + yc) * columns + xc;
#pragma unroll
    for (int c = 0; c < 12; ++c) {
      coefficients[c] += weight * from[c * depth * rows * columns];
    }
  }
#pragma unroll
  for (int o = 0; o < 3; ++o) {
    out[o * plane + pixel] = coefficients[4 * o] * image[pixel] +
                             coefficients[4 * o + 1] * image[plane + pixel] +
                             coefficients[4 * o + 2] * image[2 * plane + pixel] +
                             coefficients[4 * o + 3];
  }
}
